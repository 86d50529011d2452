#include "watch/gpu_status.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "base/json_fields.h"
#include "base/utf8.h"
#include "base/wall_clock.h"

namespace tutti {

namespace {

template <class T>
Json json_of(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json text_of(const std::optional<std::string>& value) {
  return value ? Json(replace_invalid_utf8(*value)) : Json();
}

Json gpu_json(const GpuReading& gpu) {
  JsonArray processes;
  for (const GpuProcess& process : gpu.processes) {
    processes.push_back(
        Json::object({{"name", text_of(process.name)}, {"bytes", json_of(process.bytes)}}));
  }
  JsonArray xids;
  for (const auto& [code, count] : gpu.xids) {
    xids.push_back(Json::object({{"code", code}, {"count", count}}));
  }
  Json slowed_seconds = Json::object();
  for (const auto& [reason, seconds] : gpu.slowed_seconds) {
    slowed_seconds.as_object().set(reason, seconds);
  }
  return Json::object(
      {{"index", gpu.index},
       {"uuid", text_of(gpu.uuid)},
       {"pci", text_of(gpu.pci)},
       {"name", text_of(gpu.name)},
       {"busy", json_of(gpu.busy)},
       {"memory_busy", json_of(gpu.memory_busy)},
       {"memory_total_bytes", json_of(gpu.memory_total_bytes)},
       {"memory_used_bytes", json_of(gpu.memory_used_bytes)},
       {"temperature_celsius", json_of(gpu.temperature_celsius)},
       {"clock_mhz", json_of(gpu.clock_mhz)},
       {"clock_max_mhz", json_of(gpu.clock_max_mhz)},
       {"power_watts", json_of(gpu.power_watts)},
       {"power_limit_watts", json_of(gpu.power_limit_watts)},
       {"pcie_sent_bytes_per_second", json_of(gpu.pcie_sent_bytes_per_second)},
       {"pcie_received_bytes_per_second", json_of(gpu.pcie_received_bytes_per_second)},
       {"ecc_uncorrected", json_of(gpu.ecc_uncorrected)},
       {"slowed_by", JsonArray(gpu.slowed_by.begin(), gpu.slowed_by.end())},
       {"processes", Json(std::move(processes))},
       {"lost", gpu.lost},
       {"used", gpu.used},
       {"xids", Json(std::move(xids))},
       {"slowed_seconds", std::move(slowed_seconds)},
       {"idle_seconds", gpu.idle_seconds}});
}

// A reader of one GPU's object.
class GpuFields {
 public:
  GpuFields(const JsonObject& object, const std::string& where) : reader_(object, where) {}

  void read(GpuReading& gpu) {
    gpu.index = reader_.optional_int("index", {.min = 0, .max = 1 << 20}).value_or(0);
    gpu.uuid = text("uuid");
    gpu.pci = text("pci");
    gpu.name = text("name");
    gpu.busy = number("busy");
    gpu.memory_busy = number("memory_busy");
    gpu.memory_total_bytes = whole("memory_total_bytes");
    gpu.memory_used_bytes = whole("memory_used_bytes");
    gpu.temperature_celsius = whole("temperature_celsius");
    gpu.clock_mhz = whole("clock_mhz");
    gpu.clock_max_mhz = whole("clock_max_mhz");
    gpu.power_watts = number("power_watts");
    gpu.power_limit_watts = number("power_limit_watts");
    gpu.pcie_sent_bytes_per_second = number("pcie_sent_bytes_per_second");
    gpu.pcie_received_bytes_per_second = number("pcie_received_bytes_per_second");
    gpu.ecc_uncorrected = whole("ecc_uncorrected");
    gpu.lost = reader_.optional_bool("lost").value_or(false);
    gpu.used = reader_.optional_bool("used").value_or(false);
    gpu.idle_seconds = number("idle_seconds").value_or(0);
  }

  const Status& status() const { return reader_.status(); }

 private:
  std::optional<std::string> text(const char* name) { return reader_.optional_string(name); }

  std::optional<double> number(const char* name) {
    return reader_.optional_number(name, {.min = 0});
  }

  std::optional<int64_t> whole(const char* name) {
    return reader_.optional_int(name, {.min = 0, .max = int64_t{1} << 56});
  }

  FieldReader reader_;
};

// What is in a GPU's object besides scalars; of a wrong type it is as if it were not there.
void read_lists(const Json& json, GpuReading& gpu) {
  if (const Json* reasons = json.find("slowed_by"); reasons != nullptr && reasons->is_array()) {
    for (const Json& reason : reasons->as_array()) {
      if (reason.is_string()) {
        gpu.slowed_by.push_back(reason.as_string());
      }
    }
  }
  if (const Json* list = json.find("processes"); list != nullptr && list->is_array()) {
    for (const Json& process : list->as_array()) {
      GpuProcess& one = gpu.processes.emplace_back();
      if (const Json* name = process.find("name"); name != nullptr && name->is_string()) {
        one.name = name->as_string();
      }
      if (const Json* bytes = process.find("bytes"); bytes != nullptr && bytes->is_int()) {
        one.bytes = bytes->as_int();
      }
    }
  }
  if (const Json* list = json.find("xids"); list != nullptr && list->is_array()) {
    for (const Json& xid : list->as_array()) {
      const Json* code = xid.find("code");
      const Json* count = xid.find("count");
      if (code != nullptr && code->is_int() && count != nullptr && count->is_int()) {
        gpu.xids[code->as_int()] = count->as_int();
      }
    }
  }
  if (const Json* seconds = json.find("slowed_seconds");
      seconds != nullptr && seconds->is_object()) {
    for (const JsonMember& member : seconds->as_object()) {
      if (member.value.is_number()) {
        gpu.slowed_seconds[member.key] = member.value.as_number();
      }
    }
  }
}

std::string string_in(const Json& json, const char* name) {
  const Json* found = json.find(name);
  return found != nullptr && found->is_string() ? found->as_string() : "";
}

}  // namespace

Json status_json(const GpuStatus& status) {
  JsonArray gpus;
  for (const GpuReading& gpu : status.gpus) {
    gpus.push_back(gpu_json(gpu));
  }
  JsonArray notices;
  for (const GpuNotice& notice : status.notices) {
    notices.push_back(Json::object(
        {{"time", notice.time}, {"gpu", notice.gpu}, {"text", replace_invalid_utf8(notice.text)}}));
  }
  return Json::object({{"schema", 1},
                       {"time", status.time},
                       {"error", replace_invalid_utf8(status.error)},
                       {"gpus", Json(std::move(gpus))},
                       {"notices", Json(std::move(notices))}});
}

Result<GpuStatus> parse_status(const Json& json) {
  const Json* gpus = json.find("gpus");
  if (gpus == nullptr || !gpus->is_array()) {
    return invalid("gpus: wanted an array, as GET /v1/cluster/gpus gives it");
  }
  GpuStatus status{.time = string_in(json, "time"), .error = string_in(json, "error")};
  for (const Json& one : gpus->as_array()) {
    const std::string where = fmt::format("gpus[{}]", status.gpus.size());
    if (!one.is_object()) {
      return invalid("{}: got {}, wanted an object", where, one.type_name());
    }
    GpuReading& gpu = status.gpus.emplace_back();
    GpuFields fields(one.as_object(), where);
    fields.read(gpu);
    TUTTI_RETURN_IF_ERROR(fields.status());
    read_lists(one, gpu);
  }
  if (const Json* notices = json.find("notices"); notices != nullptr && notices->is_array()) {
    for (const Json& one : notices->as_array()) {
      const Json* gpu = one.find("gpu");
      status.notices.push_back({.time = string_in(one, "time"),
                                .gpu = gpu != nullptr && gpu->is_int() ? gpu->as_int() : 0,
                                .text = string_in(one, "text")});
    }
  }
  return status;
}

GpuStatus merge_statuses(const std::vector<GpuStatus>& statuses) {
  GpuStatus out;
  for (const GpuStatus& status : statuses) {
    out.time = std::max(out.time, status.time);  // of one form, so that letters order them
    out.error = out.error.empty() ? status.error : out.error;
    for (const GpuReading& gpu : status.gpus) {
      const auto same = std::find_if(out.gpus.begin(), out.gpus.end(), [&](const GpuReading& g) {
        return g.index == gpu.index;
      });
      if (same == out.gpus.end()) {
        out.gpus.push_back(gpu);
        continue;
      }
      same->used = same->used || gpu.used;
      same->idle_seconds = std::max(same->idle_seconds, gpu.idle_seconds);
      for (const auto& [code, count] : gpu.xids) {
        same->xids[code] = std::max(same->xids[code], count);
      }
      for (const auto& [reason, seconds] : gpu.slowed_seconds) {
        same->slowed_seconds[reason] = std::max(same->slowed_seconds[reason], seconds);
      }
    }
    for (const GpuNotice& notice : status.notices) {
      const bool told = std::any_of(out.notices.begin(),
                                    out.notices.end(),
                                    [&](const GpuNotice& n) { return n.text == notice.text; });
      if (!told) {
        out.notices.push_back(notice);
      }
    }
  }
  std::stable_sort(out.notices.begin(),
                   out.notices.end(),
                   [](const GpuNotice& a, const GpuNotice& b) { return a.time < b.time; });
  out.error = out.gpus.empty() ? out.error : "";
  return out;
}

std::string utc_time(int64_t unix_seconds) {
  return utc_text(unix_seconds);
}

}  // namespace tutti
