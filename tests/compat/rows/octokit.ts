// packages: octokit
import { Octokit, RequestError } from "octokit";
import { row } from "../row";

export default row({ stars: 7, issues: [1, 2, 3], missing: 404 }, async ({ standIn }) => {
  const octokit = new Octokit({ auth: "token", baseUrl: `${standIn}/github`, retry: { enabled: false } });
  const repository = { owner: "ada", repo: "engine" };
  const { data } = await octokit.rest.repos.get(repository);
  const issues = await octokit.paginate(octokit.rest.issues.listForRepo, { ...repository, per_page: 2 });
  const missing = await octokit.rest.repos
    .get({ owner: "ada", repo: "nothing" })
    .catch((error) => error instanceof RequestError && error.status);
  return { stars: data.stargazers_count, issues: issues.map(({ number }) => number), missing };
});
