//! Chromium without a window, spoken to over a pipe in its DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>): JSON messages, each ended by a zero byte.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for an answer; a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A page of fewer colours shows nothing: letters alone have a dozen shades.
const COLOURS_LEAST: usize = 8;

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Words over each other, and words that leave their sheet. A word may touch the next one's box,
/// which is taller than its letters.
const LETTERING: &str = r#"(() => {
  const faults = [];
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.checkVisibility()) continue;
    const sheet = svg.getBoundingClientRect();
    const scale = sheet.width / (svg.viewBox.baseVal?.width || sheet.width);
    const words = [...svg.querySelectorAll("text")].map(text => {
      const box = text.getBoundingClientRect();
      const slack = box.height * 0.22;
      return { text: text.textContent.trim(), left: box.left, right: box.right,
               top: box.top + slack, bottom: box.bottom - slack };
    }).filter(word => word.text && word.right > word.left);
    const name = svg.querySelector("title")?.textContent ?? "a drawing";
    for (const [index, one] of words.entries()) {
      if (one.left < sheet.left - 1 || one.right > sheet.right + 1 ||
          one.top < sheet.top - 1 || one.bottom > sheet.bottom + 1)
        faults.push(`cut off in "${name}": "${one.text}"`);
      for (const other of words.slice(index + 1))
        if (one.left < other.right && other.left < one.right &&
            one.top < other.bottom && other.top < one.bottom)
          faults.push(`over each other in "${name}": "${one.text}" and "${other.text}"`);
    }
  }
  return faults;
})()"#;

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    pub(crate) dark: bool,
    pub(crate) width: u32,
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) faults: Vec<String>,
    /// The whole page, as PNG.
    pub(crate) picture: Vec<u8>,
}

/// A running Chromium; gone when this is.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    next_id: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; `None`, which is said, where there is none.
    pub(crate) fn start() -> Option<Self> {
        let has = |name: &&&str| {
            Command::new(name).arg("--version").output().is_ok_and(|ran| ran.status.success())
        };
        let Some(name) = NAMES.iter().find(has) else {
            println!("skipped: there is none of {} to open pages in", NAMES.join(", "));
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        // It reads commands from descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null", "sh", name])
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (events, next_id) = (VecDeque::new(), 1);
        Some(Self { child, commands, messages, events, next_id, _profile: profile })
    }

    /// Opens a page, looks at it and closes it again.
    pub(crate) fn look_at(&mut self, page: &Path, look: Look) -> Seen {
        let target = self.call(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let target = target["targetId"].clone();
        let attach = json!({"targetId": target, "flatten": true});
        let session = self.call(None, "Target.attachToTarget", &attach)["sessionId"].clone();
        let session = session.as_str();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(session, &format!("{domain}.enable"), &json!({}));
        }
        let window = json!({"width": look.width, "height": 1_560, "deviceScaleFactor": 1,
                            "mobile": look.width < 600});
        self.call(session, "Emulation.setDeviceMetricsOverride", &window);
        let shade = if look.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": shade}]});
        self.call(session, "Emulation.setEmulatedMedia", &media);
        self.events.clear();

        let url = format!("file://{}", page.display());
        let went = self.call(session, "Page.navigate", &json!({"url": url}));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        self.wait_for("Page.loadEventFired");
        let mut faults = self.measure(session, look);
        let shot =
            json!({"format": "png", "captureBeyondViewport": true, "optimizeForSpeed": true});
        let shot = self.call(session, "Page.captureScreenshot", &shot);
        let picture = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        if colours(&picture) < COLOURS_LEAST {
            faults.push("it is blank".to_owned());
        }
        // What was said until now has come: answers keep their order.
        faults.extend(self.events.iter().filter_map(|event| fault(event, &url)));
        self.call(None, "Target.closeTarget", &json!({"targetId": target}));
        Seen { faults, picture }
    }

    fn measure(&mut self, session: Option<&str>, look: Look) -> Vec<String> {
        let mut faults = Vec::new();
        let width = self.evaluate(session, "document.documentElement.scrollWidth");
        if width.as_u64() > Some(u64::from(look.width)) {
            faults.push(format!("{width} pixels, wider than the window"));
        }
        let background = "getComputedStyle(document.body).backgroundColor";
        let background = self.evaluate(session, background);
        let background = background.as_str().expect("a colour").to_owned();
        // Without a background the page is white, or what the browser takes for dark.
        let channels: Vec<u32> = background
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let is_dark = channels.len() == 3 && channels.iter().sum::<u32>() < 3 * 128;
        if is_dark != look.dark {
            let wanted = if look.dark { "not dark" } else { "not light" };
            faults.push(format!("{wanted}, its background is {background}"));
        }
        let lettering = self.evaluate(session, LETTERING);
        let lettering = lettering.as_array().expect("a list").iter();
        faults.extend(lettering.filter_map(Value::as_str).map(str::to_owned));
        faults
    }

    fn evaluate(&mut self, session: Option<&str>, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let answer = self.call(session, "Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Asks for something and waits for the answer; what happens meanwhile is kept.
    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).expect("it reads");
        loop {
            let answer = self.messages.recv_timeout(PATIENCE);
            let answer = answer.unwrap_or_else(|error| panic!("no answer to {method}: {error}"));
            if answer["id"] == json!(id) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push_back(answer);
        }
    }

    fn wait_for(&mut self, event: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.events.iter().any(|known| known["method"] == event) {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left);
            self.events.push_back(message.unwrap_or_else(|e| panic!("no {event}: {e}")));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an event says against a page: complaints, and whatever it loads besides itself.
fn fault(event: &Value, url: &str) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(format!("exception: {}", params["exceptionDetails"])),
        "Runtime.consoleAPICalled" => {
            let said = &params["args"][0]["value"];
            Some(format!("console, {}: {said}", params["type"]))
        }
        "Log.entryAdded" => {
            let entry = &params["entry"];
            Some(format!("log, {}: {} {}", entry["level"], entry["text"], entry["url"]))
        }
        "Network.requestWillBeSent" => {
            let asked = params["request"]["url"].as_str()?;
            (asked != url && !asked.starts_with("data:")).then(|| format!("it asks for {asked}"))
        }
        "Network.loadingFailed" => Some(format!("a request failed: {}", params["errorText"])),
        _ => None,
    }
}

/// How many colours a picture has, counted until there are enough.
fn colours(picture: &[u8]) -> usize {
    let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("its size")];
    let frame = reader.next_frame(&mut pixels).expect("a PNG");
    let samples = frame.color_type.samples();
    let mut found = BTreeSet::new();
    for pixel in pixels[..frame.buffer_size()].chunks(samples) {
        found.insert(pixel);
        if found.len() >= COLOURS_LEAST {
            break;
        }
    }
    found.len()
}
