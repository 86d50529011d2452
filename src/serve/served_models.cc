#include "serve/served_models.h"

#include <algorithm>

#include <fmt/ranges.h>

namespace tutti {

Status no_such_model(const std::optional<std::string>& id, const std::vector<std::string>& names) {
  constexpr size_t kShown = 200;
  const std::string have =
      names.empty() ? "no model yet" : fmt::format("{}", fmt::join(names, ", "));
  if (!id) {
    return invalid("model: missing; this server has {}", have).with_param("model");
  }
  return error(StatusCode::kNotFound,
               "model \"{}\" is not served here; this server has {}",
               id->substr(0, kShown),
               have)
      .with_param("model");
}

std::string meant_model(const std::string& name, const std::vector<std::string>& names) {
  constexpr std::string_view kLatest = ":latest";
  const auto known = [&](std::string_view wanted) {
    return std::find(names.begin(), names.end(), wanted) != names.end();
  };
  const std::string_view bare = std::string_view(name).substr(0, name.rfind(kLatest));
  return name.ends_with(kLatest) && !known(name) && known(bare) ? std::string(bare) : name;
}

ServedModels::ServedModels()
    : reason_(StatusCode::kUnavailable, "the model is still loading; try again in a moment") {}

Status ServedModels::add(std::shared_ptr<LanguageModel> model) {
  const std::string& id = model->info().id;
  const std::lock_guard lock(mutex_);
  for (const auto& other : models_) {
    if (other->info().id == id) {
      return invalid("a model named \"{}\" is already served; give one another name", id);
    }
  }
  models_.push_back(std::move(model));
  return ok_status();
}

bool ServedModels::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return std::erase_if(models_, [&](const auto& model) { return model->info().id == id; }) > 0;
}

void ServedModels::set_reason(Status why_there_is_none) {
  const std::lock_guard lock(mutex_);
  reason_ = std::move(why_there_is_none);
}

Result<std::shared_ptr<LanguageModel>> ServedModels::find(
    const std::optional<std::string>& id) const {
  const std::lock_guard lock(mutex_);
  if (models_.empty()) {
    return Status(reason_);
  }
  if (!id && models_.size() == 1) {
    return std::shared_ptr(models_.front());
  }
  std::vector<std::string> names;
  for (const auto& model : models_) {
    names.push_back(model->info().id);
  }
  const std::string wanted = id ? meant_model(*id, names) : "";
  const auto found = std::find(names.begin(), names.end(), wanted);
  if (!id || found == names.end()) {
    return no_such_model(id, names);
  }
  return std::shared_ptr(models_[static_cast<size_t>(found - names.begin())]);
}

std::vector<std::shared_ptr<LanguageModel>> ServedModels::all() const {
  const std::lock_guard lock(mutex_);
  return models_;
}

Status ServedModels::ready() const {
  const auto models = all();
  if (models.empty()) {
    const std::lock_guard lock(mutex_);
    return reason_;
  }
  Status last;
  for (const auto& model : models) {
    last = model->health();
    if (last.ok()) {
      return last;
    }
  }
  return last;
}

Status ServedModels::live() const {
  for (const auto& model : all()) {
    Status health = model->health();
    if (health.code() == StatusCode::kDevice) {
      return health;
    }
  }
  return ok_status();
}

}  // namespace tutti
