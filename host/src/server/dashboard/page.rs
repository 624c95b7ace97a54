//! The page around the panels that change, and the page that asks for the token.

use maud::{DOCTYPE, Markup, html};

use super::panels::Panels;

/// The whole page.
pub(super) fn page(project: &str, panels: &Panels, has_session: bool) -> Markup {
    let name = project.rsplit('/').find(|part| !part.is_empty()).unwrap_or(project);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{name} · Baton")))
            body {
                a.skip href="#timeline" { "Skip to the timeline" }
                header.top {
                    h1 { span.mark aria-hidden="true" {} "Baton " span.project title=(project) { (name) } }
                    p #connection .pill role="status" data-state="connecting" { "connecting" }
                    div.actions role="group" aria-label="Actions" {
                        button #reload .primary type="button" { "Reload" }
                        button #dry-run type="button" { "Dry run" }
                        button #roll-back type="button" { "Roll back" }
                    }
                    @if has_session {
                        form method="post" action="/-/logout" { button type="submit" { "Log out" } }
                    }
                }
                div #said role="status" aria-live="polite" {}
                noscript { p.notice { "Without JavaScript this page shows the state when it was loaded." } }
                main {
                    (panels.attention)
                    (panels.canary)
                    (panels.live)
                    section #timeline aria-labelledby="timeline-title" {
                        div.head {
                            h2 #timeline-title { "Timeline" }
                            p #rate .quiet {}
                            div.tools role="group" aria-label="Time shown" {
                                button type="button" data-span="30" aria-pressed="false" { "30 s" }
                                button type="button" data-span="120" aria-pressed="true" { "2 min" }
                                button type="button" data-span="300" aria-pressed="false" { "5 min" }
                                button #pause type="button" aria-pressed="false" { "Pause" }
                            }
                        }
                        div #chart tabindex="0" role="application" aria-label="Calls by generation"
                            aria-describedby="chart-help" {
                            canvas aria-hidden="true" {}
                            div #lanes aria-hidden="true" {}
                            div #tip hidden aria-hidden="true" {}
                        }
                        p #chart-help .quiet {
                            "A lane for each generation, a bar for each call. Arrow keys: left and right go from call to call, "
                            "up and down to another generation; Escape clears the selection."
                        }
                        p #detail role="status" aria-live="polite" {}
                    }
                    div.columns {
                    div { (panels.functions) (panels.generations) }
                    div {
                    section #invoke aria-labelledby="invoke-title" {
                        h2 #invoke-title { "Invoke" }
                        form #invoke-form {
                            label for="invoke-function" { "Function" }
                            input #invoke-function name="function" required list="known-functions" autocomplete="off"
                                spellcheck="false";
                            label for="invoke-data" { "Data (JSON)" }
                            textarea #invoke-data name="data" rows="3" spellcheck="false" { "{}" }
                            label.check { input #invoke-skip type="checkbox"; " Skip sleeps" }
                            div.row {
                                button.primary type="submit" { "Invoke" }
                                button #invoke-stop type="button" hidden { "Cancel" }
                            }
                        }
                        ol #invoke-steps aria-label="Steps of the run" aria-live="polite" {}
                    }
                    (panels.reloads)
                    }
                    }
                }
                script src="/-/dashboard.js" defer {}
            }
        }
    }
}

/// Asks for the token, and tells why the last try was refused.
pub(super) fn login(refused: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("Log in · Baton"))
            body.login {
                main {
                    h1 { span.mark aria-hidden="true" {} "Baton" }
                    @if let Some(refused) = refused { p.notice.bad role="alert" { (refused) } }
                    form method="post" action="/-/login" {
                        label for="token" { "Admin token" }
                        input #token name="token" type="password" required autocomplete="current-password";
                        button.primary type="submit" { "Log in" }
                    }
                    p.quiet {
                        "It is in the file " code { "admin-token" } " of the state folder. On the host's machine "
                        code { "baton dashboard" } " gives a link that needs no token."
                    }
                }
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            link rel="icon" href="data:,";
            link rel="stylesheet" href="/-/dashboard.css";
        }
    }
}
