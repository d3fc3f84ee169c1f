// What ThreadSanitizer has reported so far; nothing in other builds.
#pragma once

int thread_sanitizer_reports();
