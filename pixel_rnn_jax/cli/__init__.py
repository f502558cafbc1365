"""The command lines, one file each: flags to one call to lines and files. Imports all folders."""
