#include "apps/plan_facts.h"

#include "apps/common.h"
#include "apps/model_search.h"
#include "base/file.h"

namespace tutti {

namespace {

bool is_path(const std::string& model) {
  return model.empty() || model.front() == '/' || model.front() == '.' || model.front() == '~' ||
         is_directory(model);
}

}  // namespace

Result<ModelFacts> find_model_facts(const std::string& model) {
  TUTTI_TRY(const Catalogue catalogue, Catalogue::load());
  const Result<std::string> directory = find_listed_model(model, read_environment());
  if (directory.ok()) {
    TUTTI_RETURN_IF_ERROR(check_model_directory(*directory));
    TUTTI_TRY(ModelFacts facts, facts_of_directory(*directory, catalogue));
    return facts;
  }
  if (is_path(model)) {
    return directory.status();
  }
  const Result<CatalogueChoice> choice = catalogue.find(model);
  if (!choice.ok()) {
    return choice.status();
  }
  return facts_of(*choice);
}

}  // namespace tutti
