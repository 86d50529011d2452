#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/json_fields.h"
#include "inventory/inventory_fields.h"

namespace tutti {

namespace {

using inventory_file::Rule;

constexpr int64_t kMaxBytes = int64_t{16} << 20;
constexpr int kMaxDepth =
    32;  // the tree has five levels; fields that are passed over may have more

bool is_link_kind(std::string_view text) {
  return text.size() > 2 && text.size() < 6 && text.starts_with("NV") &&
         text.find_first_not_of("0123456789", 2) == std::string_view::npos;
}

// Reads one object. The first error sticks; paths of members begin with that of the object.
class Reader {
 public:
  /// `path`: "" or "gpus[3].pcie".
  Reader(const JsonObject& object, std::string path, Status& status)
      : object_(&object), path_(std::move(path)), status_(&status) {}

  template <class T>
  void field(std::string_view name, T& value, const Rule& rule = {}) {
    const Json* json = object_->find(name);
    if (json != nullptr && !json->is_null() && status_->ok()) {
      read(*json,
           path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name),
           value,
           rule);
    }
  }

 private:
  void fail(const std::string& path, const std::string& what) {
    if (status_->ok()) {
      *status_ = Status(StatusCode::kInvalidArgument, path + ": " + what).with_param(path);
    }
  }

  void fail_type(const std::string& path, const Json& got, const char* wanted) {
    fail(path, fmt::format("got {}, wanted {}", got.type_name(), wanted));
  }

  // The scalars, by the reader that every JSON object of the program goes through.
  template <class T, class Get>
  void scalar(const Json& json, const std::string& path, T& value, const Get& get) {
    JsonObject one;
    one.append(path, json);
    FieldReader reader(one, "");
    if (auto got = get(reader, path)) {
      value = std::move(*got);
    }
    if (!reader.status().ok() && status_->ok()) {
      *status_ = reader.status();
    }
  }

  void read(const Json& json, const std::string& path, int64_t& value, const Rule& rule) {
    scalar(json, path, value, [&](FieldReader& r, const std::string& key) {
      return r.optional_int(key, {.min = rule.min, .max = rule.max});
    });
  }

  void read(const Json& json, const std::string& path, double& value, const Rule& /*rule*/) {
    scalar(json, path, value, [](FieldReader& r, const std::string& key) {
      return r.optional_number(key, {.min = 0});
    });
  }

  void read(const Json& json, const std::string& path, bool& value, const Rule& /*rule*/) {
    scalar(json, path, value, [](FieldReader& r, const std::string& key) {
      return r.optional_bool(key);
    });
  }

  void read(const Json& json, const std::string& path, std::string& value, const Rule& rule) {
    scalar(json, path, value, [](FieldReader& r, const std::string& key) {
      return r.optional_string(key);
    });
    if (json.is_string() && !rule.words.empty() &&
        std::find(rule.words.begin(), rule.words.end(), value) == rule.words.end() &&
        !(rule.link_kind && is_link_kind(value))) {
      fail(path,
           fmt::format("got \"{}\", wanted {}{}",
                       value,
                       rule.link_kind ? "NV and a number of links, " : "",
                       fmt::join(rule.words, ", ")));
    }
  }

  void read(const Json& json,
            const std::string& path,
            std::map<std::string, std::string>& values,
            const Rule& /*rule*/) {
    if (!json.is_object()) {
      fail_type(path, json, "an object");
      return;
    }
    for (const JsonMember& member : json.as_object()) {
      read(member.value, path + "." + member.key, values[member.key], Rule{});
    }
  }

  template <class T>
  void read(const Json& json, const std::string& path, std::optional<T>& value, const Rule& rule) {
    read(json, path, value.emplace(), rule);
  }

  template <class T>
  void read(const Json& json, const std::string& path, std::vector<T>& values, const Rule& rule) {
    if (!json.is_array()) {
      fail_type(path, json, "an array");
      return;
    }
    for (const Json& item : json.as_array()) {
      const std::string where = fmt::format("{}[{}]", path, values.size());
      if (item.is_null()) {
        fail_type(where, item, "a value");
      }
      read(item, where, values.emplace_back(), rule);
    }
  }

  template <class T>
  void read(const Json& json, const std::string& path, T& value, const Rule& /*rule*/) {
    if (!json.is_object()) {
      fail_type(path, json, "an object");
      return;
    }
    Reader reader(json.as_object(), path, *status_);
    inventory_file::fields(reader, value);
  }

  const JsonObject* object_;
  std::string path_;
  Status* status_;
};

// What types alone do not say. Plans look GPUs up by these numbers.
Status check(const Inventory& inventory) {
  std::set<int64_t> known;
  std::set<int64_t> indices;
  for (size_t i = 0; i < inventory.gpus.size(); ++i) {
    const Gpu& gpu = inventory.gpus[i];
    if (gpu.nvml_index && !known.insert(*gpu.nvml_index).second) {
      return invalid("gpus[{}].nvml_index: a second GPU has the number {}", i, *gpu.nvml_index);
    }
    if (gpu.index && !indices.insert(*gpu.index).second) {
      return invalid("gpus[{}].index: a second GPU has the number {}", i, *gpu.index);
    }
    if (gpu.memory_total_bytes && gpu.memory_used_bytes &&
        *gpu.memory_used_bytes > *gpu.memory_total_bytes) {
      return invalid("gpus[{}].memory_used_bytes: got {}, wanted at most memory_total_bytes, {}",
                     i,
                     *gpu.memory_used_bytes,
                     *gpu.memory_total_bytes);
    }
  }
  for (size_t i = 0; i < inventory.links.size(); ++i) {
    const GpuLink& link = inventory.links[i];
    for (const int64_t end : {link.a, link.b}) {
      if (!known.contains(end)) {
        return invalid("links[{}]: no GPU has the nvml_index {}", i, end);
      }
    }
    if (link.a == link.b) {
      return invalid("links[{}]: links GPU {} with itself", i, link.a);
    }
  }
  return ok_status();
}

}  // namespace

Result<Inventory> parse_inventory(std::string_view text, const std::string& where) {
  Result<Json> json = parse_json(text, {.max_depth = kMaxDepth, .max_bytes = kMaxBytes});
  if (!json.ok()) {
    return std::move(json).status().with_context(where);
  }
  if (!json->is_object()) {
    return invalid(
        "{}: got {}, wanted an object as tutti doctor --dump writes it", where, json->type_name());
  }
  Inventory inventory;
  Status status;
  Reader reader(json->as_object(), "", status);
  inventory_file::fields(reader, inventory);
  if (status.ok()) {
    status = check(inventory);
  }
  if (!status.ok()) {
    return std::move(status).with_context(where);
  }
  return inventory;
}

Result<Inventory> read_inventory(const std::string& path) {
  TUTTI_TRY(const std::string text, read_input(path, kMaxBytes));
  return parse_inventory(text, input_name(path));
}

}  // namespace tutti
