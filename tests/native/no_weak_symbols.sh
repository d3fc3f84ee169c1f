#!/bin/sh
# Arguments: object files, or one list separated by semicolons. Fails when one compiled for a wide instruction set defines a weak symbol.
command -v nm >/dev/null || { echo "nm not found"; exit 77; }
status=0
for object in $(echo "$@" | tr ';' ' '); do
    case $object in
        *isa_avx*)
            weak=$(nm -C --defined-only "$object" | grep -E ' [WVu] ' | grep -v 'DW\.ref\.')
            if [ -n "$weak" ]; then
                echo "$object defines weak symbols:"
                echo "$weak"
                status=1
            fi
            ;;
    esac
done
exit $status
