// A model as plans see it: declarations, the tensors of its checkpoint if they are known, and
// whether this build could load it.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "loader/tensor_source.h"
#include "plan/catalogue.h"
#include "plan/stored_format.h"

namespace tutti {

struct ModelFacts {
  std::string name;          ///< as it was asked for
  std::string directory;     ///< of the checkpoint; empty: nothing is on this machine
  std::string hub;           ///< repository; empty: not known
  std::string architecture;  ///< of the checkpoint
  HfConfig config;           ///< of what is declared: an architecture of this build
  StoredFormat format;
  /// The checkpoint's headers; nullptr: what the configuration implies.
  std::shared_ptr<const TensorSource> tensors;
  DType made_up = DType::kBF16;  ///< of weights that the configuration says nothing of
  bool counted = false;          ///< weights are counted by `format`: the loader cannot say
  CatalogueExtras extras;
  std::string not_loadable;              ///< why this build cannot load it; empty: it can
  std::string assumption;                ///< what was taken for granted; empty: nothing
  std::string catalogue_name;            ///< empty: the catalogue does not have it
  std::vector<CatalogueFormat> formats;  ///< the catalogue's, this one included
};

enum class Headers {
  kRead,
  kImplied,  ///< there is only a config.json: weights will be made up
};

/// Of a checkpoint's headers. An architecture that this build lacks is planned as the catalogue
/// says; kUnsupported: it knows none with these dimensions.
Result<ModelFacts> facts_of_directory(const std::string& directory,
                                      const Catalogue& catalogue,
                                      Headers headers = Headers::kRead);

Result<ModelFacts> facts_of(const CatalogueChoice& choice);

}  // namespace tutti
