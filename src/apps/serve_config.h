// What the flags of `tutti serve` say of the HTTP server, in front of a model or of engines.
#pragma once
#include "apps/options.h"
#include "serve/http_server.h"

namespace tutti {

/// Without a Unix socket and without models of others.
ServerConfig serve_config(const ServeOptions& options);

}  // namespace tutti
