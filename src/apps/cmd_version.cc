// tutti version: what this program is, and what it finds beside it.
#include <cstdio>

#include "apps/options.h"
#include "apps/version.h"
#include "architectures/registry.h"
#include "backend/cuda_library.h"
#include "base/json.h"
#include "inventory/libraries.h"
#include "tensor/weight_format.h"

namespace tutti {

namespace {

Json text_or_null(const std::optional<std::string>& text) {
  return text ? Json(*text) : Json();
}

// A program without the plugin is a whole one, for the CPU.
Json cuda_facts() {
  const Result<CudaPluginFacts> plugin = cuda_plugin_facts(default_plugin_paths());
  if (!plugin.ok()) {
    return Json::object(
        {{"toolkit", Json()}, {"plugin", Json()}, {"error", plugin.status().message()}});
  }
  return Json::object({{"toolkit", plugin->toolkit}, {"plugin", plugin->path}, {"error", Json()}});
}

Json facts() {
  Inventory machine;
  add_library_versions(usual_libraries(), machine);
  JsonArray formats;
  for (const WeightFormat* format : weight_formats()) {
    formats.push_back(format->name);
  }
  JsonArray models;
  for (const Architecture& architecture : architectures()) {
    models.push_back(architecture.name);
  }
  return Json::object({{"version", program_version()},
                       {"build", build_id()},
                       {"cuda", cuda_facts()},
                       {"cublaslt", text_or_null(machine.libraries.cublaslt)},
                       {"nccl", text_or_null(machine.libraries.nccl)},
                       {"collectives", "own"},
                       {"files", Json::array({"safetensors"})},
                       {"formats", std::move(formats)},
                       {"architectures", std::move(models)}});
}

}  // namespace

int version_command(const VersionOptions& options) {
  std::printf("%s\n",
              options.json ? to_string(facts()).c_str()
                           : fmt::format("tutti {}", program_version()).c_str());
  return 0;
}

}  // namespace tutti
