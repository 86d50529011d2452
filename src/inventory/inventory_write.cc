#include <cmath>

#include "base/json.h"
#include "base/utf8.h"
#include "inventory/inventory_fields.h"

namespace tutti {

namespace {

using inventory_file::Rule;

class Writer {
 public:
  template <class T>
  void field(std::string_view name, T& value, const Rule& /*rule*/ = {}) {
    out_.append(std::string(name), json(value));
  }

  Json take() { return Json(std::move(out_)); }

 private:
  static Json json(std::string& value) { return replace_invalid_utf8(value); }

  static Json json(int64_t value) { return value; }

  static Json json(bool value) { return value; }

  static Json json(double value) { return std::isfinite(value) ? Json(value) : Json(); }

  static Json json(std::map<std::string, std::string>& values) {
    JsonObject object;
    for (auto& [name, value] : values) {
      object.set(replace_invalid_utf8(name), json(value));
    }
    return Json(std::move(object));
  }

  template <class T>
  static Json json(std::optional<T>& value) {
    return value ? json(*value) : Json();
  }

  template <class T>
  static Json json(std::vector<T>& values) {
    JsonArray array;
    array.reserve(values.size());
    for (T& value : values) {
      array.push_back(json(value));
    }
    return Json(std::move(array));
  }

  template <class T>
  static Json json(T& value) {
    Writer writer;
    inventory_file::fields(writer, value);
    return writer.take();
  }

  JsonObject out_;
};

}  // namespace

std::string to_json(const Inventory& inventory) {
  Inventory copy = inventory;  // fields() serves reading too
  Writer writer;
  inventory_file::fields(writer, copy);
  return to_string(writer.take());
}

}  // namespace tutti
