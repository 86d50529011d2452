#include "serve/dialect.h"
#include "serve/openai/openai.h"

namespace tutti {

std::span<const Dialect* const> dialects() {
  static const Dialect* const kAll[] = {&openai_dialect()};
  return kAll;
}

HttpResponse error_response(const ApiError& error, const Dialect* dialect) {
  HttpResponse response = error_response(error);
  if (dialect != nullptr) {
    response.body = dialect->error_body(error);
  }
  return response;
}

}  // namespace tutti
