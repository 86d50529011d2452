#include "plan/catalogue.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/ranges.h>

#include "base/ascii.h"
#include "base/json_fields.h"
#include "base/nearest_word.h"
#include "plan/catalogue_text.h"
#include "plan/stored_format.h"

namespace tutti {

namespace {

// "deepseek-ai/DeepSeek-R1" -> "deepseek-r1"
std::string last_part(const std::string& hub) {
  return to_lower(hub.substr(hub.rfind('/') + 1));
}

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

// Words and numbers: "org/Llama-3.1-8B" -> {"1", "3", "8", "b", "llama"}.
std::set<std::string> words_of(const std::string& name) {
  std::set<std::string> out;
  std::string word;
  for (const char c : last_part(name) + "-") {
    const bool part = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (!word.empty() && (!part || is_digit(word.back()) != is_digit(c))) {
      out.insert(std::move(word));
      word.clear();
    }
    if (part) {
      word += c;
    }
  }
  return out;
}

bool has_all(const std::set<std::string>& words, const std::set<std::string>& wanted) {
  return !wanted.empty() && std::includes(words.begin(), words.end(), wanted.begin(), wanted.end());
}

std::string or_close(const std::vector<std::string>& close) {
  return close.empty() ? "" : fmt::format("; close are {}", fmt::join(close, ", "));
}

Result<CatalogueModel> parse_model(const JsonObject& json, const std::string& where) {
  FieldReader f(json, where);
  CatalogueModel model;
  model.name = f.required_string("name");
  model.family = f.required_string("family");
  model.hub = f.required_string("hub");
  model.note = f.string_or("note", "");
  constexpr IntRange kExtra{.min = 0, .max = int64_t{1} << 45};
  model.extras = {.parameters = f.int_or("extra_parameters", 0, kExtra),
                  .bytes = f.int_or("extra_bytes", 0, kExtra),
                  .split_bytes = f.int_or("extra_split_bytes", 0, kExtra),
                  .kv_token_bytes = f.int_or("extra_kv_token_bytes", 0, kExtra)};
  const JsonObject* config = f.optional_object("config");
  const JsonObject* planned_as = f.optional_object("planned_as");
  const JsonArray* aliases = f.optional_array("aliases");
  const JsonArray* formats = f.optional_array("formats");
  TUTTI_RETURN_IF_ERROR(f.status());
  if (config == nullptr || formats == nullptr || formats->empty()) {
    return invalid("{}: wants config and formats", where);
  }
  model.config = Json(*config);
  model.planned_as = planned_as != nullptr ? Json(*planned_as) : Json();
  for (const Json& alias : aliases != nullptr ? *aliases : JsonArray{}) {
    if (!alias.is_string()) {
      return invalid("{}.aliases: wants names", where);
    }
    model.aliases.push_back(alias.as_string());
  }
  for (const Json& item : *formats) {
    if (!item.is_object()) {
      return invalid("{}.formats: wants objects", where);
    }
    FieldReader g(item.as_object(), where + ".formats[]");
    CatalogueFormat format{.name = g.required_string("name"), .hub = g.string_or("hub", "")};
    TUTTI_RETURN_IF_ERROR(g.status());
    TUTTI_RETURN_IF_ERROR(find_format(format.name).status());
    model.formats.push_back(std::move(format));
  }
  if (model.formats.front().hub.empty()) {
    model.formats.front().hub = model.hub;
  }
  return model;
}

// {"name", "size", "model", "forms": {"awq": {"Int4": "awq-int4"}}}
Status parse_xinference(const JsonObject& json,
                        const std::string& where,
                        std::vector<XinferenceName>& out) {
  FieldReader f(json, where);
  XinferenceName row;
  row.name = f.required_string("name");
  row.size = f.required_string("size");
  row.model = f.required_string("model");
  const JsonObject* forms = f.optional_object("forms");
  TUTTI_RETURN_IF_ERROR(f.status());
  for (const JsonMember& form : forms != nullptr ? forms->members() : std::vector<JsonMember>{}) {
    row.format = form.key;
    if (!form.value.is_object()) {
      return invalid("{}.forms.{}: wants an object", where, form.key);
    }
    for (const JsonMember& quantization : form.value.as_object()) {
      if (!quantization.value.is_string()) {
        return invalid("{}.forms.{}: wants names of formats", where, form.key);
      }
      row.quantization = quantization.key;
      row.stored = quantization.value.as_string();
      TUTTI_RETURN_IF_ERROR(find_format(row.stored).status());
      out.push_back(row);
    }
  }
  return ok_status();
}

bool same(const JsonObject& a, const JsonObject& b, const char* key) {
  const Json* left = a.find(key);
  const Json* right = b.find(key);
  return left != nullptr && right != nullptr && to_string(*left) == to_string(*right);
}

}  // namespace

Result<Catalogue> Catalogue::load() {
  return parse(kCatalogueText);
}

Result<Catalogue> Catalogue::parse(std::string_view text) {
  TUTTI_TRY(const Json json, parse_json(text));
  const auto list = [&json](const char* key) -> Result<JsonArray> {
    const Json* value = json.find(key);
    return value != nullptr && value->is_array()
               ? Result<JsonArray>(value->as_array())
               : invalid("catalogue: {} is missing or no array", key);
  };
  TUTTI_TRY(const JsonArray models, list("models"));
  TUTTI_TRY(const JsonArray names, list("xinference"));
  Catalogue catalogue;
  std::set<std::string> known;
  for (size_t i = 0; i < models.size(); ++i) {
    const std::string where = fmt::format("catalogue: models[{}]", i);
    if (!models[i].is_object()) {
      return invalid("{}: wants an object", where);
    }
    TUTTI_TRY(CatalogueModel model, parse_model(models[i].as_object(), where));
    if (!known.insert(model.name).second) {
      return invalid("{}: {} occurs twice", where, model.name);
    }
    catalogue.models_.push_back(std::move(model));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string where = fmt::format("catalogue: xinference[{}]", i);
    if (!names[i].is_object()) {
      return invalid("{}: wants an object", where);
    }
    TUTTI_RETURN_IF_ERROR(parse_xinference(names[i].as_object(), where, catalogue.xinference_));
  }
  for (const XinferenceName& name : catalogue.xinference_) {
    if (!known.contains(name.model)) {
      return invalid("catalogue: xinference {}: no model {}", name.name, name.model);
    }
  }
  return catalogue;
}

Result<CatalogueChoice> Catalogue::find(const std::string& name) const {
  const size_t colon = name.rfind(':');
  const std::string wanted = to_lower(name.substr(0, colon));
  const std::string wanted_format =
      colon == std::string::npos ? "" : to_lower(name.substr(colon + 1));
  for (const CatalogueModel& model : models_) {
    const bool is = wanted == model.name || wanted == to_lower(model.hub) ||
                    wanted == last_part(model.hub) ||
                    std::any_of(model.aliases.begin(), model.aliases.end(), [&](const auto& a) {
                      return wanted == to_lower(a);
                    });
    if (!is) {
      for (const CatalogueFormat& format : model.formats) {
        if (!format.hub.empty() && wanted == to_lower(format.hub)) {
          return CatalogueChoice{.model = &model, .format = format};
        }
      }
      continue;
    }
    std::vector<std::string> formats;
    for (const CatalogueFormat& format : model.formats) {
      if (wanted_format.empty() || format.name == wanted_format) {
        return CatalogueChoice{.model = &model, .format = format};
      }
      formats.push_back(format.name);
    }
    return error(StatusCode::kNotFound,
                 "{}: no format \"{}\" of {}; known are {}{}",
                 name,
                 wanted_format,
                 model.name,
                 fmt::join(formats, ", "),
                 or_close(close_names(name)));
  }
  return error(StatusCode::kNotFound,
               "the catalogue has no \"{}\"{}; tutti models lists what it has",
               name,
               or_close(close_names(name)));
}

std::vector<std::string> Catalogue::close_names(const std::string& name) const {
  const std::set<std::string> wanted = words_of(name);
  std::vector<std::string> more;  // with all that was typed
  std::vector<std::string> less;  // with nothing that was not
  size_t most = 0;
  std::vector<std::string> all;
  for (const CatalogueModel& model : models_) {
    const std::set<std::string> words = words_of(model.name);
    all.push_back(model.name);
    if (has_all(words, wanted)) {
      more.push_back(model.name);
    } else if (has_all(wanted, words) && words.size() >= most) {
      if (words.size() > most) {
        less.clear();
      }
      most = words.size();
      less.push_back(model.name);
    }
  }
  if (!more.empty()) {
    return more;
  }
  return less.empty() ? nearest_words(last_part(name), all) : less;
}

const CatalogueModel* Catalogue::like(const JsonObject& config) const {
  for (const CatalogueModel& model : models_) {
    const JsonObject& other = model.config.as_object();
    if (same(config, other, "architectures") && same(config, other, "hidden_size") &&
        same(config, other, "num_hidden_layers") && same(config, other, "vocab_size")) {
      return &model;
    }
  }
  return nullptr;
}

}  // namespace tutti
