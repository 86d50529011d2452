#include "serve/anthropic/anthropic.h"
#include "serve/dialect.h"
#include "serve/ollama/ollama.h"
#include "serve/openai/openai.h"
#include "serve/responses/responses.h"
#include "serve/vllm/vllm.h"

namespace tutti {

std::span<const Dialect* const> dialects() {
  static const Dialect* const kAll[] = {&openai_dialect(),
                                        &anthropic_dialect(),
                                        &ollama_dialect(),
                                        &responses_dialect(),
                                        &vllm_dialect()};
  return kAll;
}

HttpResponse error_response(const ApiError& error,
                            const Dialect* dialect,
                            std::string_view request_id) {
  HttpResponse response = error_response(error);
  if (dialect != nullptr) {
    response.status = dialect->error_status(error);
    response.body = dialect->error_body(error, request_id);
  }
  return response;
}

}  // namespace tutti
