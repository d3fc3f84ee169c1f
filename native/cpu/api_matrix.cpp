#include "llavasp_cpu.h"
