// The part of a chat request that is the conversation: messages and what the template reads beside them.
#pragma once

#include "server/api.h"
#include "server/json_reader.h"

namespace reprise {

// Reads messages, add_generation_prompt, continue_final_message and chat_template_kwargs; mistakes go to the
// reader.
void ReadConversation(JsonReader* reader, Conversation* out);

}  // namespace reprise
