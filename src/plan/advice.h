// What a plan tells people: why each GPU is used or not, what else would fit, what to type.
#pragma once
#include "plan/choice.h"

namespace tutti {

struct AdviceInput {
  ModelNeeds& needs;
  const PlanRequest& request;
  const Choice& choice;
};

/// Fills reasons of GPUs, reasons, alternatives and commands of a plan that is otherwise done.
Status add_advice(const AdviceInput& input, Plan& plan);

/// "143.8 GB": of people who read data sheets, powers of ten.
std::string gigabytes(int64_t bytes);

}  // namespace tutti
