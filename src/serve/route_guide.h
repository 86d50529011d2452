// What is said to a request that no route takes: the path, what was probably meant, whose API it
// is, and the routes there are.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace tutti {

struct Route;

/// A path of another server's API and what to use here.
struct ForeignPath {
  const char* paths;   ///< separated by spaces; one that ends with * stands for all that begin so
  const char* of;      ///< whose: "Ollama"
  const char* advice;  ///< what does the same here
};

std::span<const ForeignPath> foreign_paths();

/// "POST /v1/chat/completions, GET /v1/models, …": those of OpenAI, and one of each other kind.
std::string routes_in_words();

/// The message of a 404. `path` as sent; a long one is cut.
std::string no_such_route(std::string_view method, std::string_view path);

/// The message of a 405. `allowed`: the methods of the route, separated by commas.
std::string wrong_method(std::string_view method, const Route& route, std::string_view allowed);

}  // namespace tutti
