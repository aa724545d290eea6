
# Only of jobs with `copy` or `scratch`: what the payload made is brought back, whatever became of it. A file gets its
# name by a rename in its own folder, so that a part of one never looks whole. The first that fails is in the record.
trap '' TERM INT HUP USR1 USR2 XCPU # what is started from here on outlives them too

caf_miss() { # NAME WHY: of what a program says the last words on its first line
    caf_said=${2%%"$caf_newline"*}
    [ "$caf_missed" -gt 0 ] || caf_first="${1%%"$caf_newline"*}: ${caf_said##*: }"
    caf_missed=$((caf_missed + 1))
}

caf_bring() { # FILE NAME: of the folder that the payload ran in, and of the area
    caf_into=./$2
    caf_part=${caf_into%/*}/.$CAF_TOKEN.part
    if [ -d "$caf_into" ]; then
        caf_miss "$1 to $2" "a folder has this name"
    elif [ ! -e "$caf_from/$1" ]; then
        caf_miss "$1 to $2" "it is not there"
    elif [ ! -f "$caf_from/$1" ]; then
        caf_miss "$1 to $2" "it is no file"
    elif ! caf_said=$(
        { [ -d "${caf_into%/*}" ] || LC_ALL=C command mkdir -p "${caf_into%/*}"; } 2>&1 &&
            LC_ALL=C command cp "$caf_from/$1" "$caf_part" 2>&1 && LC_ALL=C command mv -f "$caf_part" "$caf_into" 2>&1
    ); then
        caf_miss "$1 to $2" "${caf_said:-its copying was ended}"
        command rm -f "$caf_part" 2>/dev/null
    fi
}

caf_bring_log() { # FILE: if there is one
    [ ! -e "$caf_from/$1" ] || caf_bring "$1" "$1"
}

caf_bring_all() { # PATTERN FOLDER/: what matches, but for folders
    caf_none=1
    for caf_line in "$caf_from"/$1; do
        if [ -e "$caf_line" ] && [ ! -d "$caf_line" ]; then
            caf_none=''
            caf_line=${caf_line#"$caf_from/"}
            caf_bring "$caf_line" "$2${caf_line##*/}"
        fi
    done
    [ -z "$caf_none" ] || caf_miss "$1 to $2" "nothing matches"
}

if [ "$caf_trouble" ]; then
    caf_code=75 caf_why="why=$caf_trouble"
elif [ -z "$caf_why" ]; then
    caf_from=${caf_scratch:-.} caf_missed=0 caf_first='' caf_ifs=$IFS caf_newline='
'
    set +f # as `set +Ceu` above
    IFS='' # names that a pattern matches are not split
    caf_copies
    IFS=$caf_ifs
    [ "$caf_missed" -le 1 ] || caf_first="$caf_first; $((caf_missed - 1)) more failed"
    [ "$caf_missed" = 0 ] || caf_why="copy=$caf_first"
fi
