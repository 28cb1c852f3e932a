def segment(view, recipe): raise NotImplementedError
