#!/usr/bin/env bash
# Measures on a GPU what RESULTS.md has as not measured, and writes OUT/results.json and OUT/results.md.
#
#     benchmarks/gpu.sh OUT [--wheels FOLDER] [--dry] [--minutes N] [--rows NAME ...]
#
# Python needs PyTorch for CUDA. Everything else may come as wheels in a folder, made where there is a network:
#     pip download -d FOLDER '.[cuda,export,view]' torchmil scikit-learn pytest pytest-timeout pytest-xdist hypothesis
# (without the wheels of torch and nvidia-* that the machine has). They are installed into OUT/venv, which sees the
# packages of the machine. Run the command again to continue. --dry does it all in small on the CPU.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
wheels=""
rest=()
while [ $# -gt 0 ]; do
    case $1 in
        --wheels) wheels=$(cd "$2" && pwd); shift 2 ;;
        *) rest+=("$1"); shift ;;
    esac
done
cd "$(dirname "$0")/.."
export PYTHONPATH=.:train:export
python=${PYTHON:-python3}
if [ -n "$wheels" ]; then
    if [ ! -e "$out/venv/.installed" ]; then
        "$python" -m venv --system-site-packages "$out/venv"
        # PyTorch may be in an environment itself, whose packages a new one does not see
        packages='import sysconfig; print(sysconfig.get_path("purelib"))'
        "$python" -c "$packages" > "$("$out/venv/bin/python" -c "$packages")/machine.pth"
        "$out/venv/bin/python" -m pip install --quiet --no-index --no-deps "$wheels"/*.whl
        touch "$out/venv/.installed"
    fi
    python=$out/venv/bin/python
fi
exec "$python" -m benchmarks.gpu_run "$out" ${rest[@]+"${rest[@]}"}
