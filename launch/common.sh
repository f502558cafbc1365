# shellcheck shell=bash
# Sourced by the launch scripts, in which `root` is the repository: flags, and commands that --dry-run prints.

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || { echo "error: bash 4.4 or later is needed" >&2 && exit 2; }
python=${root:?}/.venv/bin/python && [[ -x $python ]] || python=python3
python=${PYTHON:-$python}
declare -A option=([config]='' [workdir]='') # flags with a value, and their defaults
declare -A switch=([dry_run]=0)              # flags without a value: 0 or 1
repeatable=                                  # the flag that may be given several times
repeated=()                                  # its values
training=()                                  # flags for experiments.train

die() { # MESSAGE: ends the script, which was called with wrong flags
  echo "error: $*" >&2
  exit 2
}

parse_flags() { # FLAG...: fills the variables above
  local key value
  while (($#)); do
    key=${1%%=*} && key=${key#--} && key=${key//-/_} && value=${1#*=}
    case $1 in
      --) training+=("${@:2}") && return ;;
      -h | --help) usage && exit ;;
      --config=?* | --workdir=?*) training+=("$1") && option[$key]=$value ;;
      --config.*=*) training+=("$1") ;;
      --"$repeatable"=?*) repeated+=("$value") ;;
      --?*)
        if [[ -v switch[$key] ]]; then
          [[ $1 != *=* ]] || die "--$key takes no value; got '$value'"
          switch[$key]=1
        else
          [[ -v option[$key] || $key == "$repeatable" || $key == config.* ]] ||
            die "unknown flag --$key; --help lists the flags, and others of the training follow a lone --"
          [[ $1 == *=?* ]] || die "--$key needs a value: --$key=VALUE"
          option[$key]=$value
        fi
        ;;
      *) die "unexpected argument '$1'; flags have the form --FLAG=VALUE" ;;
    esac
    shift
  done
}

require() { # FLAG WHAT
  [[ -n ${option[$1]} ]] || die "--$1 is missing: $2"
}

require_training() {
  require config "the name or the file of a configuration"
  require workdir "the directory for checkpoints and metrics"
}

require_number() { # LEAST FLAG...: for those that have a value
  local flag
  for flag in "${@:2}"; do
    [[ -z ${option[$flag]} ]] || { [[ ${option[$flag]} =~ ^[0-9]{1,9}$ ]] && ((10#${option[$flag]} >= $1)); } ||
      die "--$flag must be a whole number of at least $1; got '${option[$flag]}'"
  done
}

join() { # WORD...: sets REPLY to the words as a line for a shell
  local word
  REPLY=
  for word; do
    [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word=${word@Q}
    REPLY+="${REPLY:+ }$word"
  done
}

execute() { # WORD...: runs the command, or prints it on fd 3, which no $(...) captures
  if ((switch[dry_run])); then join "$@" && echo "$REPLY" >&3; else "$@" 3>&-; fi
}
exec 3>&1
