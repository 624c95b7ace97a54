//! Several hosts behind one address: the newest code is registered, and the others leave it.

use harness::{Balancer, Baton, FakeInngest, Project, Sdk, Status};
use serde_json::Value;

fn function(id: &str) -> String {
    format!(
        r#"import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "shop" }});
export const {id} = inngest.createFunction(
  {{ id: "{id}", triggers: [{{ event: "shop/{id}" }}], retries: 0 }},
  async ({{ step }}) => step.run("answer", () => "{id}"),
);
"#
    )
}

/// Hosts of the same project, each with its own folder, behind a balancer.
struct Fleet {
    balancer: Balancer,
    inngest: FakeInngest,
    hosts: Vec<(Project, Baton)>,
}

impl Fleet {
    /// Starts three hosts, whose project has the functions `order` and `refund`.
    async fn start() -> Self {
        let (balancer, inngest) = (Balancer::start().await, FakeInngest::start().await);
        let mut hosts = Vec::new();
        for _ in 0..3 {
            let project = Project::without_functions(Sdk::V4);
            project.write("functions/order.ts", function("order"));
            project.write("functions/refund.ts", function("refund"));
            let launch = Baton::dev(&project).inngest(&inngest).registering();
            let launch = launch.env("INNGEST_SERVE_ORIGIN", balancer.url());
            let baton = launch.ready().await;
            balancer.add(baton.port());
            registered(&baton).await;
            hosts.push((project, baton));
        }
        Self {
            balancer,
            inngest,
            hosts,
        }
    }

    fn baton(&self, which: usize) -> &Baton {
        &self.hosts[which].1
    }

    /// Gives a host code with one more function and one less.
    async fn update(&self, which: usize) {
        let (project, baton) = &self.hosts[which];
        project.write("functions/ship.ts", function("ship"));
        project.remove("functions/refund.ts");
        assert_eq!(baton.reload().await.status(), "activated");
    }

    async fn holds(&self, ids: &[&str]) {
        let what = format!("{ids:?} to be held");
        self.inngest.wait_until(&what, |fake| fake.holds() == ids).await;
    }
}

async fn registered(baton: &Baton) {
    let is = |status: &Status| status.0["registration"]["state"] == "registered";
    baton.status_when("the host to be registered", is).await;
}

/// Waits until a host leaves the registration to another one, and returns that one's id.
async fn stands_by(baton: &Baton) -> Value {
    let is = |status: &Status| status.0["registration"]["newer"].is_object();
    let status = baton.status_when("the host to stand by", is).await;
    status.0["registration"]["newer"]["host"].clone()
}

const OLD: [&str; 2] = ["shop-order", "shop-refund"];
const NEW: [&str; 2] = ["shop-order", "shop-ship"];

#[tokio::test]
async fn a_rolling_reload_of_three_hosts_registers_three_times_at_most() {
    let fleet = Fleet::start().await;
    fleet.holds(&OLD).await;
    let before = fleet.inngest.registrations().len();

    fleet.update(0).await;
    fleet.holds(&NEW).await;
    let ready = fleet.baton(0).get("/-/ready").await.json();
    assert!(ready["code_time"].is_string(), "{ready}");
    for which in [1, 2] {
        assert_eq!(stands_by(fleet.baton(which)).await, ready["host"]);
    }
    // They look again and leave it.
    let status = fleet.baton(1).status().await;
    assert_eq!(status.0["registration"]["state"], "drifted");
    assert_eq!(fleet.inngest.holds(), NEW);

    for which in [1, 2] {
        fleet.update(which).await;
    }
    for which in 0..3 {
        registered(fleet.baton(which)).await;
    }
    let registrations = fleet.inngest.registrations().len() - before;
    assert!(registrations <= 3, "{registrations} registrations");
    assert_eq!(fleet.inngest.holds(), NEW);
}

#[tokio::test]
async fn a_host_with_older_code_registers_once_the_newest_is_gone() {
    let mut fleet = Fleet::start().await;
    fleet.update(2).await;
    fleet.holds(&NEW).await;
    stands_by(fleet.baton(0)).await;
    stands_by(fleet.baton(1)).await;

    let (_project, mut newest) = fleet.hosts.remove(2);
    fleet.balancer.remove(newest.port());
    newest.signal("TERM").await;
    newest.ended().await;
    fleet.holds(&OLD).await;
    registered(fleet.baton(0)).await;
    registered(fleet.baton(1)).await;
}

#[tokio::test]
async fn a_host_that_registers_nothing_tells_no_id() {
    let (project, balancer) = (Project::without_functions(Sdk::V4), Balancer::start().await);
    project.write("functions/order.ts", function("order"));
    let baton = Baton::dev(&project).env("INNGEST_SERVE_ORIGIN", balancer.url());
    let ready = baton.ready().await.get("/-/ready").await.json();
    assert_eq!((&ready["host"], &ready["code_time"]), (&Value::Null, &Value::Null));
}
