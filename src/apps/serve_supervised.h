// `tutti serve` with the model in a process of its own.
#pragma once
#include "apps/serve_shutdown.h"

namespace tutti {

/// Until the server ends; returns the process exit code and has printed its errors.
int serve_supervised(const ServeOptions& options, Shutdown& shutdown);

}  // namespace tutti
