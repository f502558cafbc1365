# shellcheck shell=bash
# What the launch scripts share: flags, errors in one line, and commands that are run or only shown. Sourced by them after they
# have set `root`, the repository.

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || {
  echo "error: bash 4.4 or later is needed, this is $BASH_VERSION" >&2
  exit 2
}

declare -A option=()   # flags with a value, and their defaults
declare -A switch=()   # flags without: 0 or 1
repeatable=            # the one flag that may be given several times, and
repeated=()            # its values
training=()            # flags of experiments.train

die() { # MESSAGE: ends the script, since it was called wrongly
  echo "error: $*" >&2
  exit 2
}

fail() { # MESSAGE: ends the script, since something else went wrong
  echo "error: $*" >&2
  exit 1
}

say() {
  ((switch[dry-run])) || echo "== $*" >&2
}

parse_flags() { # FLAG...: fills the variables above
  local key value
  while (($#)); do
    case $1 in
      --) training+=("${@:2}") && return ;;
      -h | --help) usage && exit ;;
      --config.*=*) training+=("$1") && shift && continue ;;
      --config.*) die "$1: $1=VALUE expected" ;;
      --?*) ;;
      *) die "unexpected argument '$1': flags begin with --" ;;
    esac
    key=${1%%=*} && key=${key#--} && [[ $key != dry_run ]] || key=dry-run
    if [[ -v switch[$key] ]]; then
      [[ $1 != *=* ]] || die "--$key: no value expected, got '${1#*=}'"
      switch[$key]=1 && shift && continue
    fi
    [[ -v option[$key] || $key == "$repeatable" || $key == config || $key == workdir ]] ||
      die "unknown flag --$key; --help lists the flags, and those of the training follow a lone --"
    if [[ $1 == *=* ]]; then
      value=${1#*=} && shift
    elif (($# > 1)) && [[ $2 != --* ]]; then
      value=$2 && shift 2
    else
      die "--$key: a value expected"
    fi
    [[ -n $value ]] || die "--$key: a value expected"
    if [[ -v option[$key] ]]; then
      option[$key]=$value
    elif [[ $key == "$repeatable" ]]; then
      repeated+=("$value")
    else
      training+=("--$key=$value")
    fi
  done
}

require_number() { # FLAG LEAST: that flag's value must be a whole number
  if [[ ! ${option[$1]} =~ ^(0|[1-9][0-9]{0,8})$ ]] || ((option[$1] < $2)); then
    die "--$1: a whole number of at least $2 expected, got '${option[$1]}'"
  fi
}

require_training() {
  local name
  for name in config workdir; do
    training_flag "$name"
    [[ -n $REPLY ]] || die "--$name is missing: experiments.train needs it"
  done
}

training_flag() { # NAME: sets REPLY to the value that experiments.train will take for --NAME, empty if there is none
  local i
  REPLY=
  for i in "${!training[@]}"; do
    case ${training[i]} in
      "--$1="*) REPLY=${training[i]#*=} ;;
      "--$1") REPLY=${training[i + 1]-} ;;
    esac
  done
}

find_python() {
  python=${PYTHON:-$root/.venv/bin/python}
  [[ -n ${PYTHON-} || -x $python ]] || python=python3
}

join() { # WORD...: sets REPLY to a line that a shell reads as these words
  local word line='' flag
  for word; do
    flag=
    if [[ $word =~ ^--?[A-Za-z_.-]+= ]]; then flag=${BASH_REMATCH[0]}; fi
    word=${word#"$flag"}
    if [[ ! $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then word=${word@Q}; fi
    line+=" $flag$word"
  done
  REPLY=${line# }
}

show() { # WORD...: prints the command, for --dry-run. On fd 3, which no $(...) captures.
  join "$@"
  echo "$REPLY" >&3
}

execute() { # WORD...: runs the command
  if ((switch[dry-run])); then show "$@"; else "$@" 3>&-; fi
}

exec 3>&1
