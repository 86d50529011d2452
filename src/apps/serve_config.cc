#include "apps/serve_config.h"

#include "apps/common.h"
#include "apps/version.h"
#include "backend/cuda_plugin.h"
#include "base/file.h"
#include "serve/response_store.h"

namespace tutti {

ServerConfig serve_config(const ServeOptions& options) {
  ServerConfig config;
  config.host = options.host;
  config.port = static_cast<uint16_t>(options.port);
  config.api_key = options.api_key.empty() ? read_environment().api_key : options.api_key;
  config.insecure = options.insecure;
  config.allowed_origins = options.allowed_origins;
  config.allowed_hosts = options.allowed_hosts;
  config.tls_certificate = options.tls_certificate;
  config.tls_key = options.tls_key;
  config.limits = options.limits;
  config.request_limits = options.request_limits;
  config.responses =
      options.no_store
          ? nullptr
          : std::make_shared<ResponseStore>(join_path(read_environment().home, "responses.db"));
  config.version = program_version();
  config.build = build_id();
  return config;
}

}  // namespace tutti
