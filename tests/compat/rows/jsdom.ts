// packages: jsdom
import { JSDOM } from "jsdom";
import { row } from "../row";

export default row({ text: "clicked 2", ran: 3, selected: 2 }, () => {
  const html = '<p id="a">x</p><p>y</p><button>b</button><script>window.ran = 1 + 2</script>';
  const { window } = new JSDOM(html, { runScripts: "dangerously" });
  const { document } = window;
  let clicks = 0;
  const button = document.querySelector("button")!;
  button.addEventListener("click", () => (document.getElementById("a")!.textContent = `clicked ${++clicks}`));
  button.click();
  button.dispatchEvent(new window.MouseEvent("click", { bubbles: true }));
  const answer = { text: document.getElementById("a")?.textContent, ran: window.ran, selected: document.querySelectorAll("p").length };
  window.close();
  return answer;
});
