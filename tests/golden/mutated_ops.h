// A backend whose ops are wrong in one chosen way: the mistakes that a new model, a new kernel or a
// misread configuration makes. Nothing in the server knows of it.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tutti::testing {

enum class Mistake {
  kNone,
  kNormsDropped,       ///< the norms before attention and MLP only copy
  kNormWeightsOne,     ///< every norm over whole rows ignores its weight
  kInnerEpsOuter,      ///< the norms inside MLA use 1e-5, as the outer ones of dsv3_base_f32
  kHeadNormsDropped,   ///< queries and keys are not normalised
  kHeadWeightsOne,     ///< ... are, but without weights
  kNormsByHead,        ///< ... are, every head by itself instead of all together
  kHeadEpsDefault,     ///< ... are, with the class default 1e-6 instead of rms_norm_eps
  kBiasIgnored,        ///< linear layers without bias
  kRopePairing,        ///< half-split pairs instead of interleaved ones, or the other way
  kRopeBase,           ///< a base ten times as large
  kRopeMultiplierOne,  ///< cos and sin are not scaled
  kGeluOther,          ///< gelu's approximation for gelu, or the other way
  kLayerMeanKept,      ///< norms do not take the mean away
  kSoftmaxScale,       ///< scores 1.3 times as large
  kKvHeads,            ///< query head h reads KV head h % hkv instead of h * hkv / hq
  kOwnKeyUnseen,       ///< a step's queries see one key too few, if there is a context before them
  kRouterNormalize,    ///< chosen weights normalised although they should not be, or not although
  kRouterScaleOne,     ///< routed_scaling_factor ignored
  kRouterBiasIgnored,  ///< selection by scores alone
  kRouterGroupsOff,    ///< selection among all experts
  kRouterMaskZero,     ///< experts of dropped groups compete with 0 instead of -inf
  kRouterScoring,      ///< sigmoid instead of softmax, or the other way
  kSharedScaled,       ///< the shared experts' output doubled, as routed_scaling_factor 2 would
  kScaleBlocksFirst,   ///< every row is decoded with the first row of scale blocks
  kScaleGroupsWide,    ///< groups of columns are taken for twice as wide
  kNibblesSwapped,     ///< of every two packed weights each is taken for the other
};

const char* mistake_name(Mistake mistake);

/// The ops of `inner` with the mistake, on any device (kRouterMaskZero: on the CPU alone). Its
/// steps must not be recorded.
std::unique_ptr<Backend> make_mutated_backend(std::unique_ptr<Backend> inner, Mistake mistake);

std::unique_ptr<Backend> make_mutated_cpu_backend(Mistake mistake);

}  // namespace tutti::testing
