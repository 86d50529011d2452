// Values of the template language. Immutable except namespaces (owned by the interpreter, so that a
// cycle of them cannot leak) and the read position of generators. Copies are cheap.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/str.h"

namespace tutti::jinja {

class Interpreter;
class Value;
struct CallArgs;
struct DictData;
struct ListData;
struct LoopState;
struct Macro;
struct Namespace;
struct Scope;

/// A name or attribute that does not exist: prints as "", anything else done with it is an error.
struct Undefined {
  const char* owner = nullptr;        ///< type it was looked up on; nullptr for a variable
  const std::string* name = nullptr;  ///< owned by the parsed template; nullptr if computed
  const char* hint = nullptr;         ///< whole message, instead of owner and name
};

/// `empty_text`: the content of a message without text. It is none to tests and JSON, and "" where
/// text is wanted: printed, joined, searched, or asked for a string method.
struct None {
  bool empty_text = false;
};

struct Callable;

using ListPtr = std::shared_ptr<ListData>;
using DictPtr = std::shared_ptr<const DictData>;
using CallablePtr = std::shared_ptr<const Callable>;
using LoopPtr = std::shared_ptr<LoopState>;

class Value {
 public:
  Value() = default;  // undefined

  // Conversions from each alternative are the point of this class.
  Value(Undefined v) : v_(v) {}  // NOLINT(google-explicit-constructor)

  Value(None v) : v_(v) {}  // NOLINT(google-explicit-constructor)

  Value(bool v) : v_(v) {}  // NOLINT(google-explicit-constructor)

  Value(int64_t v) : v_(v) {}  // NOLINT(google-explicit-constructor)

  Value(double v) : v_(v) {}  // NOLINT(google-explicit-constructor)

  Value(Str v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

  Value(ListPtr v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

  Value(DictPtr v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

  Value(Namespace* v) : v_(v) {}  // NOLINT(google-explicit-constructor)

  Value(CallablePtr v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

  Value(LoopPtr v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

  bool is_undefined() const { return std::holds_alternative<Undefined>(v_); }

  bool is_none() const { return std::holds_alternative<None>(v_); }

  bool is_empty_text() const {
    const None* none = std::get_if<None>(&v_);
    return none != nullptr && none->empty_text;
  }

  // Each returns nullptr if the value is something else.
  const Undefined* undefined() const { return std::get_if<Undefined>(&v_); }

  const bool* boolean() const { return std::get_if<bool>(&v_); }

  const int64_t* integer() const { return std::get_if<int64_t>(&v_); }

  const double* real() const { return std::get_if<double>(&v_); }

  const Str* str() const { return std::get_if<Str>(&v_); }

  ListData* list() const {
    const auto* p = std::get_if<ListPtr>(&v_);
    return p != nullptr ? p->get() : nullptr;
  }

  const ListPtr* list_ptr() const { return std::get_if<ListPtr>(&v_); }

  const DictData* dict() const {
    const auto* p = std::get_if<DictPtr>(&v_);
    return p != nullptr ? p->get() : nullptr;
  }

  Namespace* ns() const {
    auto* const* p = std::get_if<Namespace*>(&v_);
    return p != nullptr ? *p : nullptr;
  }

  const Callable* callable() const {
    const auto* p = std::get_if<CallablePtr>(&v_);
    return p != nullptr ? p->get() : nullptr;
  }

  LoopState* loop() const {
    const auto* p = std::get_if<LoopPtr>(&v_);
    return p != nullptr ? p->get() : nullptr;
  }

  const LoopPtr* loop_ptr() const { return std::get_if<LoopPtr>(&v_); }

  /// Python's type name, for messages: "str", "int", "NoneType", …
  const char* type_name() const;

 private:
  std::variant<Undefined,
               None,
               bool,
               int64_t,
               double,
               Str,
               ListPtr,
               DictPtr,
               Namespace*,
               CallablePtr,
               LoopPtr>
      v_;
};

enum class ListKind : uint8_t { kList, kTuple, kRange, kGenerator, kKeys, kValues, kItems };

/// Every kind of sequence. Generators are computed at once but keep Python's behaviour: no length,
/// no index, always true, and what was read is gone.
struct ListData {
  ListKind kind = ListKind::kList;
  std::vector<Value> items;
  int depth = 1;
  size_t next = 0;                        ///< generators: first unread item
  int64_t start = 0, stop = 0, step = 1;  ///< ranges: for printing
  LiveBytes live;

  ListData() = default;

  explicit ListData(LiveBytes bytes) : live(std::move(bytes)) {}
};

/// Insertion-ordered mapping. `source` makes it dual: a mapping that reads as this text where a
/// string is wanted (the JSON text of tool call arguments). `sent_as_text` tells what the client
/// sent, which is what the test `string` answers.
struct DictData {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string_view, size_t> index;  ///< string keys; views into items
  int depth = 1;
  bool dual = false;
  bool sent_as_text = false;
  Str source;
  LiveBytes live;

  DictData() = default;

  explicit DictData(LiveBytes bytes) : live(std::move(bytes)) {}
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;

  const Value* find(std::string_view name) const;
};

using FunctionPtr = Value (*)(Interpreter&, const Value& self, CallArgs& args);

/// A function, method, macro, or a loop that is called recursively.
struct Callable {
  const char* name = "";
  FunctionPtr function = nullptr;
  Value self;                    ///< methods: the object
  const Macro* macro = nullptr;  ///< macros: what to run
  std::weak_ptr<Scope> scope;    ///< macros: where it was defined
};

/// Arguments of one call.
struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

/// Copies a key list into `dict.items`/`index`; replaces the value of an equal key.
void dict_set(DictData& dict, Value key, Value value, Budget& budget);
const Value* dict_find(const DictData& dict, std::string_view key);
/// Errors for keys Python cannot hash.
const Value* dict_find(const DictData& dict, const Value& key, Budget& budget);

bool truthy(const Value& value);
bool equal(const Value& a, const Value& b, Budget& budget);
/// a < b as Python orders numbers, strings and sequences; other pairs are an error naming `op`.
bool less(const Value& a, const Value& b, const char* op, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

/// int, bool and float as a double.
bool as_double(const Value& value, double& out);
/// int and bool as an integer.
bool as_integer(const Value& value, int64_t& out);

/// The text of a string, a dual mapping or an empty content; else nullptr.
const Str* string_like(const Value& value);

int value_depth(const Value& value);
/// The depth of a container around `deepest`; an error beyond kMaxValueDepth.
int checked_depth(int deepest);

ListPtr make_list(std::vector<Value> items, ListKind kind, Budget& budget);
Value make_str(std::string_view text, TextOrigin origin, Budget& budget);
std::shared_ptr<DictData> make_dict(Budget& budget);

/// Message of the error that using `undefined` is.
[[noreturn]] void fail_undefined(const Undefined& undefined);

}  // namespace tutti::jinja
