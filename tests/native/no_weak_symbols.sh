#!/bin/sh
# Arguments: object files, or one list separated by semicolons. Fails when one compiled for an instruction set that not every machine has defines a
# weak symbol. NM: the nm of their architecture.
nm=${NM:-nm}
command -v "$nm" >/dev/null || { echo "$nm not found"; exit 77; }
status=0
for object in $(echo "$@" | tr ';' ' '); do
    case ${object##*/} in
        isa_scalar*) ;;
        isa_*)
            weak=$("$nm" -C --defined-only "$object" | grep -E ' [WVu] ' | grep -v 'DW\.ref\.')
            if [ -n "$weak" ]; then
                echo "$object defines weak symbols:"
                echo "$weak"
                status=1
            fi
            ;;
    esac
done
exit $status
