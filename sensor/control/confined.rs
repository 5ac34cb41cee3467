//! What the sandbox holds, as each thread found it when it entered its role, and whether the broker lives.
//!
//! In: what the [`Sandbox`] took note of. Out: a record of it for whoever asks how the sensor is.

use serde_json::{Value, json};

use crate::sandbox::{Hold, Layer, Sandbox, Standing};

/// By role: how much holds (`full`, `partly`, `off`), by layer too, and why not all of it.
pub(super) fn confinement(sandbox: &Sandbox) -> Value {
    json!({
        "bounding": sandbox.is_bounding(),
        "required": sandbox.is_required(),
        "roles": sandbox.standings().iter().map(role).collect::<Vec<_>>(),
    })
}

fn role(standing: &Standing) -> Value {
    let mut why = Vec::new();
    let mut layers = serde_json::Map::new();
    for (layer, hold) in Layer::ALL.into_iter().zip(&standing.layers) {
        let word = match hold {
            Hold::Full => "full",
            Hold::Partly(_) => "partly",
            Hold::Off(_) => "off",
        };
        layers.insert(layer.name().to_owned(), word.into());
        if let Hold::Partly(reason) | Hold::Off(reason) = hold {
            why.push(format!("{}: {reason}", layer.name()));
        }
    }
    why.extend(standing.findings.iter().cloned());
    let holds = match &standing.layers {
        layers if layers.iter().all(|hold| matches!(hold, Hold::Off(_))) => "off",
        _ if why.is_empty() => "full",
        _ => "partly",
    };
    json!({
        "role": standing.role.to_string(),
        "threads": standing.threads,
        "holds": holds,
        "layers": layers,
        "why": why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Plan, Role, Wanted};

    #[test]
    fn each_role_says_what_holds_for_it_and_why_not_all() {
        let sandbox = Sandbox::new(Wanted::BestEffort, Plan::default());
        assert_eq!(confinement(&sandbox)["roles"], json!([]), "nobody has entered");
        sandbox.hear(Some(Role::Broker), Vec::new());
        let lacks = |layer: &str, why: &str| (layer.to_owned(), why.to_owned());
        let short = vec![lacks("landlock", "no Landlock"), lacks("", "bpf is not refused")];
        sandbox.hear(Some(Role::Worker), short.clone());
        sandbox.hear(Some(Role::Worker), short);
        sandbox.hear(None, vec![lacks("capabilities", "no broker")]);
        let told = confinement(&sandbox);
        assert_eq!((&told["bounding"], told["roles"].as_array().map(Vec::len)), (&true.into(), Some(2)), "{told}");
        assert_eq!((&told["roles"][0]["role"], &told["roles"][0]["holds"]), (&"broker".into(), &"full".into()));
        let worker = &told["roles"][1];
        assert_eq!((&worker["threads"], &worker["holds"]), (&2.into(), &"partly".into()), "{worker}");
        assert_eq!(worker["layers"], json!({ "capabilities": "full", "landlock": "off", "seccomp": "full" }));
        assert_eq!(worker["why"], json!(["landlock: no Landlock", "bpf is not refused"]));
        let all = ["capabilities", "landlock", "seccomp"].map(|layer| lacks(layer, "it fails"));
        sandbox.hear(Some(Role::Keeper), all.to_vec());
        assert_eq!(confinement(&sandbox)["roles"][2]["holds"], "off");
        assert_eq!(confinement(&Sandbox::new(Wanted::Off, Plan::default()))["bounding"], false);
    }
}
