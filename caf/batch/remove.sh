
# Only of jobs with `scratch = true`. A wrapper that was killed leaves it behind, which harms nobody: see the token.
if [ "$caf_scratch" ] && ! command rm -rf "$caf_scratch" 2>/dev/null; then
    command chmod -R u+rwx "$caf_scratch" 2>/dev/null # a payload may have taken away the right to write
    command rm -rf "$caf_scratch" || echo "caf: cannot remove $caf_scratch" >&2
fi
