process.once("message", (message) => process.send(message.set("length", message.get("bytes").length)));
