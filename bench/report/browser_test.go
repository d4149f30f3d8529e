package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"dotsconnect/bench/result"
)

// patience limits each step in the browser, so that a test that hangs fails.
const patience = 20 * time.Second

// browserPath returns the path of a browser. If no browser is installed, it
// skips the test, or fails it if DOTS_TEST_ALL requires all tests.
func browserPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip(orFail(t, "no chromium, chromium-browser or google-chrome in PATH: install chromium to look at the report"))
	return ""
}

// font is a family of fonts. The page is shown with only this family, so that the other fonts of a
// machine do not change the outcome. DejaVu is wide and Liberation is narrow. On Debian a browser
// installs at least one of the two.
type font struct{ family, sans, mono, file, pkg string }

var fonts = []font{
	{"DejaVu", "DejaVu Sans", "DejaVu Sans Mono", "DejaVuSans.ttf", "fonts-dejavu-core"},
	{"Liberation", "Liberation Sans", "Liberation Mono", "LiberationSans-Regular.ttf", "fonts-liberation"},
}

// alone writes a configuration of fontconfig that has only this family, and returns its path. If
// the font is not installed, it skips the test, or fails it if DOTS_TEST_ALL requires all tests.
func (f font) alone(t *testing.T) string {
	t.Helper()
	installed := ""
	for _, root := range []string{"/usr/share/fonts", "/usr/local/share/fonts"} {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error { // ignore a folder that does not exist
			if err == nil && entry.Name() == f.file {
				installed = filepath.Dir(path)
				return fs.SkipAll
			}
			return nil
		})
	}
	if installed == "" {
		t.Skip(orFail(t, "the font "+f.family+" is not installed: apt-get install "+f.pkg+", or make test, which does it"))
	}
	folder := t.TempDir()
	files, err := filepath.Glob(filepath.Join(installed, f.family+"*"))
	for _, file := range files {
		err = errors.Join(err, os.Symlink(file, filepath.Join(folder, filepath.Base(file))))
	}
	config := filepath.Join(folder, "fonts.conf")
	text := "<fontconfig><dir>" + folder + "</dir><cachedir>" + folder + "</cachedir>"
	for generic, member := range map[string]string{"sans-serif": f.sans, "monospace": f.mono} {
		text += "<alias><family>" + generic + "</family><prefer><family>" + member + "</family></prefer></alias>"
	}
	text += "</fontconfig>"
	if err = errors.Join(err, os.WriteFile(config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return config
}

// orFail fails the test if DOTS_TEST_ALL requires all tests. Otherwise it
// returns missing, as the reason for a skip.
func orFail(t *testing.T, missing string) string {
	t.Helper()
	if all, err := strconv.ParseBool(os.Getenv("DOTS_TEST_ALL")); err == nil && all {
		t.Fatal(missing)
	}
	return missing
}

// tab is a tab of a browser. The browser ends with the test.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in a context

	mu       sync.Mutex
	requests []string // guarded by mu
}

func openTab(t *testing.T, f font) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browserPath(t)), chromedp.Env("FONTCONFIG_FILE="+f.alone(t)), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoSandbox, // tests may run in containers, in which the browser cannot set up its sandbox
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	p := &tab{t: t}
	ctx, stopTab := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		if sent, ok := event.(*network.EventRequestWillBeSent); ok {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.requests = append(p.requests, sent.Request.URL)
		}
	}))
	t.Cleanup(stopTab)
	p.ctx = ctx
	// The first step starts the browser. It must not have the deadline of a
	// step, because the browser would end at that deadline.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if wide := evaluate[float64](p, `(() => { const c = document.createElement("canvas").getContext("2d"); c.font = "12px sans-serif"; return c.measureText("max").width })()`); wide < 10 {
		t.Fatalf("letters of the font %s are %v wide: the browser has not found it", f.family, wide)
	}
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// open writes the page of these results to a file and opens it in the tab.
func (p *tab) open(results ...*result.Result) {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(html(p.t, results...)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.Navigate("file://" + path))
}

// view sets the width of the window, the colour scheme ("light" or "dark") and
// the medium ("screen" or "print").
func (p *tab) view(width int64, scheme, medium string) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

func evaluate[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// shoot takes a picture of the whole page. If DOTS_SCREENSHOTS names a folder,
// shoot saves the picture there.
func (p *tab) shoot(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if len(picture) < 5000 {
		p.t.Errorf("%s: the picture has %d bytes", name, len(picture))
	}
	folder := os.Getenv("DOTS_SCREENSHOTS")
	if folder == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// faults is JavaScript that returns the visible faults of a page: a page that is wider than its
// window, and text that leaves its plot, overlaps other text, or is too small or too pale. Texts
// may overlap by a few pixels, because the box of a text is higher than its letters.
const faults = `(() => {
	const found = [], root = document.documentElement;
	if (root.scrollWidth > root.clientWidth) found.push("the page is " + root.scrollWidth + " wide in a window of " + root.clientWidth);
	const shown = e => e.checkVisibility() && e.getClientRects().length > 0;
	for (const svg of document.querySelectorAll("figure svg")) {
		if (!shown(svg)) continue;
		const name = svg.querySelector("title").textContent + " " + svg.getAttribute("class") + ": ";
		const box = svg.viewBox.baseVal, scale = svg.getBoundingClientRect().width / box.width;
		const texts = [...svg.querySelectorAll("text")].map(t => ({ t, b: t.getBBox(), s: t.textContent }));
		for (const { t, b, s } of texts) {
			if (b.x < -.5 || b.y < -.5 || b.x + b.width > box.width + .5 || b.y + b.height > box.height + .5) found.push(name + s + " leaves the plot");
			const size = parseFloat(getComputedStyle(t).fontSize) * scale;
			if (size < 9.5) found.push(name + s + " is only " + size.toFixed(1) + " px high");
		}
		texts.forEach(({ b, s }, i) => texts.slice(i + 1).forEach(({ b: c, s: other }) => {
			const w = Math.min(b.x + b.width, c.x + c.width) - Math.max(b.x, c.x), h = Math.min(b.y + b.height, c.y + c.height) - Math.max(b.y, c.y);
			if (w > 1 && h > 3) found.push(name + s + " lies on " + other);
		}));
	}
	const rgb = text => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a } };
	const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
	const light = c => .2126 * linear(c.r) + .7152 * linear(c.g) + .0722 * linear(c.b);
	const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.a === 1) return c } return { r: 255, g: 255, b: 255 } };
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), pale = new Set();
	for (let n; (n = walker.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || !shown(e) || e.closest("title, desc, style")) continue;
		const style = getComputedStyle(e), ink = rgb(e.closest("svg") ? style.fill : style.color), paper = behind(e);
		const [a, b] = [light(ink), light(paper)].sort((x, y) => y - x), contrast = (a + .05) / (b + .05);
		const large = parseFloat(style.fontSize) >= 24;
		if (contrast < (large ? 3 : 4.5)) pale.add(e.tagName + "." + (e.getAttribute("class") || "") + " has a contrast of " + contrast.toFixed(2) + ": " + n.data.trim().slice(0, 30));
	}
	return [...found, ...pale].slice(0, 12);
})()`

// TestTheReportCanBeReadOnEveryScreen looks for visible faults of pages in a
// browser. To see the pages yourself:
//
//	DOTS_SCREENSHOTS=/some/folder go test -run Screen ./bench/report
func TestTheReportCanBeReadOnEveryScreen(t *testing.T) {
	for _, f := range fonts {
		t.Run(f.family+" alone", func(t *testing.T) { lookAtEveryScreen(t, f) })
	}
}

func lookAtEveryScreen(t *testing.T, f font) {
	p := openTab(t, f)
	for _, page := range []struct {
		name    string
		results []*result.Result
	}{
		{"single", []*result.Result{lobby()}},
		{"several", []*result.Result{lobby(), missed(), invalid(), violated(), silent(), restarted()}},
		{"odd", []*result.Result{bare(), oneSecond(), extreme(), hostile()}},
	} {
		p.open(page.results...)
		for _, view := range []struct {
			width          int64
			scheme, medium string
		}{
			{1280, "light", "screen"}, {1280, "dark", "screen"}, {400, "light", "screen"}, {400, "dark", "screen"},
			{360, "light", "screen"}, {700, "dark", "screen"}, {1001, "light", "screen"}, {2000, "light", "screen"}, {718, "dark", "print"},
		} {
			name := fmt.Sprintf("%s-%d-%s-%s", page.name, view.width, view.scheme, view.medium)
			p.view(view.width, view.scheme, view.medium)
			for _, fault := range evaluate[[]string](p, faults) {
				t.Errorf("%s: %s", name, fault)
			}
			if view.width == 1280 || view.width == 400 || view.medium == "print" {
				p.shoot(name + "-" + f.family)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) < 3 {
		t.Errorf("%d requests were seen, and each page is one", len(p.requests))
	}
	for _, url := range p.requests {
		if !strings.HasPrefix(url, "file://") {
			t.Errorf("the report asks the network for %s", url)
		}
	}
}

// TestThePageCheckSeesFaults checks that the script faults finds faults that
// the test makes.
func TestThePageCheckSeesFaults(t *testing.T) {
	p := openTab(t, fonts[0])
	p.open(lobby())
	p.view(1280, "light", "screen")
	for change, want := range map[string]string{
		`(() => { document.querySelector("figure svg.wide text.tick").setAttribute("x", -40) })()`:                                      "leaves the plot",
		`(() => { const [a, b] = document.querySelectorAll("figure svg.wide text.name"); b.setAttribute("y", a.getAttribute("y")) })()`: "lies on",
		`(() => { document.querySelector("h1").style.color = "#ccc" })()`:                                                               "has a contrast of",
		`(() => { document.querySelector("h1").style.width = "1400px" })()`:                                                             "wide in a window",
		`(() => { document.querySelector("figure svg.wide text.about").style.fontSize = "6px" })()`:                                     "px high",
	} {
		evaluate[any](p, change)
		if got := strings.Join(evaluate[[]string](p, faults), "\n"); !strings.Contains(got, want) {
			t.Errorf("after %s: no %q in %q", change, want, got)
		}
	}
}
