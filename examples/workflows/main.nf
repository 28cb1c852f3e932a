// Four jobs fill one store, then its index is made and it is checked. On a cluster: -process.executor slurm
//     nextflow run examples/workflows/main.nf --slides $PWD/demo/slides --out $PWD/build/cohort
params.jobs = 4

process embed {
    cpus 2
    maxRetries 2          // a job that was stopped continues: complete slides are skipped
    errorStrategy 'retry'
    input:  val part
    output: val part
    script: "wsi-embed ${params.slides} --out ${params.out}/feats.zarr --shard ${part}/${params.jobs} --workers ${task.cpus}"
}

process finalize {
    input:  val parts
    output: stdout
    script: "wsi-embed finalize ${params.out}/feats.zarr && wsi-embed verify ${params.out}/feats.zarr"
}

workflow {
    embed(Channel.of(0..<params.jobs)) | collect | finalize | view
}
