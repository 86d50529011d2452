// Launches and replicas as Xinference's routes show them.
#pragma once
#include <string>

#include "supervise/launches.h"

namespace tutti {

Json instance_json(const LaunchView& launch);

/// `address`: of this server.
Json replica_json(const LaunchView& launch, const ReplicaView& replica, const std::string& address);

/// 0 to 1: the least of its replicas.
double progress_of(const LaunchView& launch);

/// The members that a list of models has of this one besides OpenAI's: "model_type", ….
std::string xinference_members(const LaunchView& launch);

}  // namespace tutti
