// What stands behind a gateway: models in processes of their own ("engines"), which answer requests
// over Unix sockets. Thread-safe, and quick: a gateway asks on the threads of its connections.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serve/waker.h"

namespace tutti {

/// A place for one request at an engine, held until it is dropped.
class EnginePlace {
 public:
  virtual ~EnginePlace() = default;

  /// Path of the engine's socket.
  virtual const std::string& socket() const = 0;
  /// Name of its model in the API.
  virtual const std::string& model() const = 0;
  /// What clients are told when the engine ended before their reply was whole: kUnavailable.
  virtual Status lost() const = 0;
};

struct PlaceQuery {
  std::string_view body;         ///< of the request; its "model" says where it goes
  std::shared_ptr<Waker> waker;  ///< told when it is worth asking again
};

/// A model as lists of models show it.
struct ModelCard {
  std::string id;
  int64_t created_unix = 0;
  int64_t max_context = 0;  ///< tokens; 0: not known yet
  std::string members;      ///< more members of its JSON object, with a comma before each
};

/// An engine that is up, to be asked for its metrics.
struct EngineAddress {
  std::string socket;
  std::string replica;  ///< tells replicas of one model apart; "" if there is one
};

class RemoteModels {
 public:
  virtual ~RemoteModels() = default;

  /// nullopt: the model is on its way and the request may wait. kNotFound and kInvalidArgument name
  /// the models there are; kUnavailable says why none takes requests now.
  virtual std::optional<Result<std::shared_ptr<EnginePlace>>> find_place(
      const PlaceQuery& query) = 0;

  virtual std::vector<ModelCard> cards() const = 0;

  /// ok if at least one model takes requests.
  virtual Status ready() const = 0;

  virtual std::vector<EngineAddress> engines() const = 0;
};

}  // namespace tutti
