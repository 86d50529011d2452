// Xinference's management routes over launches (docs/api.md): its clients and scripts run as they
// are. Errors have both shapes, {"detail": text, "error": {…}}.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "serve/management.h"
#include "supervise/launches.h"

namespace tutti {

/// What the routes of the cluster say of this machine.
struct MachineFacts {
  int64_t gpus = 0;
  int64_t gpu_bytes = 0;  ///< of all together
  int64_t cpus = 0;
  int64_t memory_bytes = 0;
  int64_t memory_available_bytes = 0;
};

struct XinferenceApiConfig {
  std::string address;  ///< "127.0.0.1:9997", as the server is known
  std::string version;
  std::string build;
  std::function<bool()> needs_key;  ///< clients must send one
  /// nullopt: it is still being looked at, and the waker is told when that is done. Any thread.
  std::function<std::optional<MachineFacts>(const std::shared_ptr<Waker>&)> machine;
};

class XinferenceApi final : public Management {
 public:
  XinferenceApi(XinferenceApiConfig config, Launches& launches)
      : config_(std::move(config)), launches_(launches) {}

  Match match(std::string_view method, std::string_view path) const override;
  std::unique_ptr<PendingAnswer> call(const ManagementCall& call) override;
  HttpResponse error(const ApiError& error) const override;

 private:
  class Waiting;
  class AskingMachine;
  class Done;

  std::unique_ptr<PendingAnswer> launch(const ManagementCall& call);
  HttpResponse answer(const ManagementCall& call);
  HttpResponse cluster_info(const MachineFacts& machine, std::string_view query) const;
  HttpResponse instances(std::string_view query) const;
  HttpResponse registrations(const std::string& rest) const;
  HttpResponse of_model(const std::string& method,
                        const std::string& uid,
                        const std::string& action,
                        const std::string& rest);

  const XinferenceApiConfig config_;
  Launches& launches_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// A launch from the fields of POST /v1/models; `warnings` gets what has no effect here. Errors
/// name the field.
Result<LaunchSpec> read_xinference_launch(const JsonObject& body,
                                          std::vector<std::string>& warnings);

}  // namespace tutti
