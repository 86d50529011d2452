#include "backend/cuda_library.h"

#include <dlfcn.h>

#include "backend/cuda_plugin.h"
#include "backend/peer_check.h"
#include "base/file.h"
#include "base/log.h"

namespace tutti {

namespace {

// Checks that fail in the plugin are reported with this program's trace of what it was doing.
[[noreturn]] void plugin_check_failed(const std::string& message) {
  check_failed(kCudaPluginLibrary, 0, message);
}

struct Entry {
  void* function = nullptr;
  std::string path;  // of the plugin
};

Result<Entry> find_entry(const std::vector<std::string>& directories, const char* symbol) {
  std::string tried;
  for (const std::string& directory : directories) {
    const std::string path = join_path(directory, kCudaPluginLibrary);
    tried += (tried.empty() ? "" : ", ") + path;
    if (!file_exists(path)) {
      continue;
    }
    // Never unloaded: objects made by the plugin live as long as the process.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      return error(StatusCode::kUnavailable, "{} does not load: {}", path, dlerror());
    }
    void* function = dlsym(library, symbol);
    if (function == nullptr) {
      return error(StatusCode::kUnavailable,
                   "{} has no entry {}; it does not belong to this program",
                   path,
                   symbol);
    }
    return Entry{.function = function, .path = path};
  }
  return error(StatusCode::kUnavailable,
               "{} was not found (looked for {})",
               kCudaPluginLibrary,
               tried.empty() ? "nothing" : tried);
}

CudaPluginRequest new_request() {
  return {.build_id = build_id(), .on_check_failed = &plugin_check_failed};
}

// The one verdict on peer access, and its line in the log.
bool peers_usable(const BackendQuery& query, const std::vector<int>& gpus) {
  if (!query.peer_access) {
    log_info("P2P is off, as asked; collectives go through host memory (slower)");
    return false;
  }
  if (gpus.size() < 2) {
    return true;  // ranks of one GPU share its memory
  }
  const PeerReport report =
      query.program.empty()
          ? check_peers_here(gpus,
                             [&query](const std::vector<PeerResult>& pairs, const PeerSay& say) {
                               return test_peers(query.plugin_paths, pairs, say).message();
                             })
          : check_peers(gpus, {.command = {query.program, "check-peers"}});
  log_at(report.usable() ? LogLevel::kInfo : LogLevel::kWarn, "{}", report.line());
  return report.usable();
}

}  // namespace

const char* build_id() {
  return TUTTI_BUILD_ID;
}

Result<std::unique_ptr<Backend>> open_cuda_backend(const BackendQuery& query) {
  TUTTI_TRY(const Entry entry, find_entry(query.plugin_paths, kCudaPluginSymbol));
  CudaPluginRequest request = new_request();
  request.gpus = query.gpus;
  request.ranks_per_gpu = query.ranks_per_gpu;
  request.visible_devices = query.visible_devices;
  request.peers_usable = [query](const std::vector<int>& gpus) {
    return peers_usable(query, gpus);
  };
  Status status;
  std::unique_ptr<Backend> backend;
  reinterpret_cast<CudaPluginEntry>(entry.function)(request, &status, &backend);
  if (status.ok()) {
    return backend;
  }
  const bool names =
      status.code() == StatusCode::kNotFound || status.code() == StatusCode::kInvalidArgument;
  return names ? std::move(status) : std::move(status).with_context(entry.path);
}

Status test_peers(const std::vector<std::string>& plugin_paths,
                  const std::vector<PeerResult>& pairs,
                  const PeerSay& say) {
  TUTTI_TRY(const Entry entry, find_entry(plugin_paths, kCudaPeerSymbol));
  Status status;
  reinterpret_cast<CudaPeerEntry>(entry.function)(new_request(), pairs, say, &status);
  return status;
}

Result<CudaPluginFacts> cuda_plugin_facts(const std::vector<std::string>& plugin_paths) {
  TUTTI_TRY(const Entry entry, find_entry(plugin_paths, kCudaToolkitSymbol));
  int version = 0;
  Status status;
  reinterpret_cast<CudaToolkitEntry>(entry.function)(new_request(), &version, &status);
  if (!status.ok()) {
    return std::move(status).with_context(entry.path);
  }
  return CudaPluginFacts{.path = entry.path,
                         .toolkit = fmt::format("{}.{}", version / 1000, version % 1000 / 10)};
}

Result<std::vector<CudaGpuInfo>> list_cuda_gpus(const std::vector<std::string>& plugin_paths,
                                                const std::optional<std::string>& visible_devices) {
  TUTTI_TRY(const Entry entry, find_entry(plugin_paths, kCudaListSymbol));
  CudaPluginRequest request = new_request();
  request.visible_devices = visible_devices;
  std::vector<CudaGpuInfo> gpus;
  Status status;
  reinterpret_cast<CudaListEntry>(entry.function)(request, &gpus, &status);
  if (!status.ok()) {
    return status;
  }
  return gpus;
}

}  // namespace tutti
