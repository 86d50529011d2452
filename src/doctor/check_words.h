// How checks say things. Only the files of checks include this.
#pragma once
#include <functional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "doctor/check.h"

namespace tutti {

inline Outcome fine(std::string what, JsonObject evidence = {}) {
  return {.severity = Severity::kOk, .what = std::move(what), .evidence = std::move(evidence)};
}

inline Outcome not_known(std::string why) {
  return {.severity = Severity::kSkipped, .what = std::move(why)};
}

inline Outcome found(Severity severity,
                     std::string what,
                     std::string remedy,
                     JsonObject evidence = {}) {
  return {.severity = severity,
          .what = std::move(what),
          .evidence = std::move(evidence),
          .remedy = std::move(remedy)};
}

/// {"gpus": [0, 3]} with more members.
inline JsonObject facts(std::vector<std::pair<std::string, Json>> members) {
  return Json::object(std::move(members)).as_object();
}

template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

/// What to do where the program runs: what may be changed differs.
struct Remedies {
  const char* bare;              ///< on the machine itself; also where no other is given
  const char* docker = nullptr;  ///< and podman; a line for compose is part of it
  const char* kubernetes = nullptr;
  const char* vm = nullptr;
  const char* wsl = nullptr;
};

std::string remedy_for(const Inventory& inventory, const Remedies& remedies);

/// Whether GPUs are given to this process by whoever started its container.
bool in_container(const Inventory& inventory);

/// GPUs by their numbers, in messages and as evidence.
class GpuSet {
 public:
  /// `position`: in inventory.gpus.
  void add(const Inventory& inventory, size_t position);

  bool empty() const { return names_.empty() && numbers_.empty(); }

  size_t size() const { return names_.size() + numbers_.size(); }

  /// "GPU 3", "GPUs 0-3,6", "the GPU at 0000:18:00.0".
  std::string text() const;

  /// [0, 3, "0000:18:00.0"]: nvml_index, or the address where NVML shows none.
  Json json() const;

 private:
  std::set<int64_t> numbers_;
  std::set<std::string> names_;
};

/// Those for which `wanted` holds.
GpuSet gpus_with(const Inventory& inventory, const std::function<bool(const Gpu&)>& wanted);

/// Texts of errors of one source, joined by "; ".
std::string errors_from(const Inventory& inventory, std::string_view source);

/// A variable of the environment; "" if unset.
std::string variable(const Inventory& inventory, const std::string& name);

/// "13.0" -> {13, 0}; nothing if there is none.
std::optional<std::pair<int, int>> version_of(const std::optional<std::string>& text);

}  // namespace tutti
