/** Reports the progress of a story. Progress is a courtesy: a gateway that is down stops nothing. */

export type Progress = { runId: string; storyId: string; title: string; attempt: number };

export async function reportProgress(progress: Progress, gatewayUrl: string | undefined): Promise<string> {
  const { storyId, title, attempt } = progress;
  if (!gatewayUrl) {
    console.log(`story ${storyId} "${title}": attempt ${attempt}`);
    return "logged (GATEWAY_URL is not set)";
  }

  try {
    const response = await fetch(gatewayUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(progress),
      signal: AbortSignal.timeout(3_000),
    });
    return response.ok ? "sent to the gateway" : warn(`the gateway answered ${response.status}`);
  } catch (error) {
    return warn(`the gateway did not answer: ${error instanceof Error ? error.message : error}`);
  }
}

function warn(problem: string): string {
  console.warn(`progress not reported, ${problem}`);
  return `not reported, ${problem}`;
}
