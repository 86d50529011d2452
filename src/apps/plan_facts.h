// What plans and the doctor know of a model that was named.
#pragma once
#include <string>

#include "plan/model_facts.h"

namespace tutti {

/// A checkpoint on this machine, else the catalogue's. Errors: kNotFound says where was looked.
Result<ModelFacts> find_model_facts(const std::string& model);

}  // namespace tutti
