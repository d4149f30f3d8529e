package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const pollEvery = 20 * time.Millisecond

// Page is one tab. Each page has its own storage, so two pages stand for two people. All methods fail the test on an error.
type Page struct {
	tb  testing.TB
	ctx context.Context //nolint:containedctx // as in Browser

	mu       sync.Mutex
	problems []string // guarded by mu; written by the listener for browser events
}

// Open opens url in a new tab, which is closed when the test tb ends.
func (b *Browser) Open(tb testing.TB, url string) *Page {
	tb.Helper()
	page := &Page{tb: tb}
	ctx, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(page.listen))
	page.ctx = ctx
	tb.Cleanup(func() {
		for _, problem := range page.found() {
			tb.Errorf("%s: %s", url, problem)
		}
		closeTab()
	})
	// The first call of Do creates the tab. It has no deadline, as in Start.
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatalf("open a tab: %v", err)
	}
	page.do("open "+url, chromedp.Navigate(url))
	return page
}

// Wait waits until the JavaScript expression is true in the page.
func (p *Page) Wait(expression string) {
	p.tb.Helper()
	p.do("wait for "+expression, p.until(expression))
}

// WaitText waits until the text of the first element that matches selector contains text.
func (p *Page) WaitText(selector, text string) {
	p.tb.Helper()
	p.do(fmt.Sprintf("wait for %q in %s", text, selector),
		p.until(fmt.Sprintf("document.querySelector(%s)?.innerText.includes(%s)", quote(selector), quote(text))))
}

// WaitAttribute waits until the first element that matches selector has the attribute with this value.
func (p *Page) WaitAttribute(selector, name, value string) {
	p.tb.Helper()
	p.do(fmt.Sprintf("wait for %s=%q of %s", name, value, selector),
		p.until(fmt.Sprintf("document.querySelector(%s)?.getAttribute(%s) === %s", quote(selector), quote(name), quote(value))))
}

// WaitVisible waits until the element exists and can be seen.
func (p *Page) WaitVisible(selector string) {
	p.tb.Helper()
	p.do("wait to see "+selector, p.until(fmt.Sprintf("document.querySelector(%s)?.checkVisibility()", quote(selector))))
}

// Text returns the visible text of the first element that matches selector.
func (p *Page) Text(selector string) string {
	p.tb.Helper()
	return Eval[string](p, fmt.Sprintf("document.querySelector(%s).innerText", quote(selector)))
}

// Count returns the number of elements that match selector.
func (p *Page) Count(selector string) int {
	p.tb.Helper()
	return Eval[int](p, fmt.Sprintf("document.querySelectorAll(%s).length", quote(selector)))
}

// Click clicks on the element when it is visible.
func (p *Page) Click(selector string) {
	p.tb.Helper()
	p.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Type types text into the element.
func (p *Page) Type(selector, text string) {
	p.tb.Helper()
	p.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Enter presses the Enter key in the element. It sends one event that includes its text, like a real keyboard. A typed "\r" would
// be two events, and the second one would add a line even if the page took the first one for sending.
func (p *Page) Enter(selector string) {
	p.tb.Helper()
	p.do("press Enter in "+selector, chromedp.Focus(chromedp.CSS(selector)), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		key := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", Text: "\r", WindowsVirtualKeyCode: 13}
		if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, key); err != nil {
			return err
		}
		key.Type, key.Text = input.DispatchKeyEventTypeKeyUp, ""
		_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, key)
		return err
	}))
}

// Fill replaces the value of a field in one step, like pasting.
func (p *Page) Fill(selector, text string) {
	p.tb.Helper()
	Eval[bool](p, fmt.Sprintf(`(() => { const field = document.querySelector(%s); field.value = %s;
		field.dispatchEvent(new Event("input", { bubbles: true })); return true })()`, quote(selector), quote(text)))
}

// Emulate sets the size of the view in CSS pixels and the system's colour scheme ("light" or "dark"). A view of up to 600 pixels
// counts as a phone with a touch screen. Motion is reduced, so that a screenshot does not depend on the moment at which it is
// taken.
func (p *Page) Emulate(width, height int64, scheme string) {
	p.tb.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	var phone []chromedp.EmulateViewportOption
	if width <= 600 {
		phone = append(phone, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	p.do("emulate", chromedp.EmulateViewport(width, height, phone...), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, media)
		return err
	}))
	p.Wait(fmt.Sprintf("innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches", width, scheme))
}

// Screenshot writes the view as NAME.png into the folder that the environment variable DOTS_SHOTS names, or into a temporary
// folder of the test. It returns the path of the file.
func (p *Page) Screenshot(name string) string {
	p.tb.Helper()
	folder := os.Getenv("DOTS_SHOTS")
	if folder == "" {
		folder = p.tb.TempDir()
	}
	path := filepath.Join(folder, name+".png")
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.tb.Fatalf("screenshot: %v", err)
	}
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		p.tb.Fatal(err)
	}
	return path
}

// Eval returns the value of a JavaScript expression; a promise is awaited.
func Eval[T any](p *Page, expression string) T {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.tb.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (p *Page) until(condition string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(pollEvery), chromedp.WithPollingTimeout(Patience))
}

// do runs the steps. If one of them fails, the error contains what the page showed at that moment.
func (p *Page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience+time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		shown, showErr := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		if showErr != nil {
			shown = showErr.Error()
		}
		p.tb.Fatalf("%s: %v; problems %q; the page shows:\n%s", what, err, p.found(), shown)
	}
}

// listen collects the messages that a person would find in the console of the browser. It leaves out failed connections: browsers
// report them as errors, and tests of reconnecting cause many.
func (p *Page) listen(event any) {
	var problem string
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = describe(event.ExceptionDetails)
	case *log.EventEntryAdded:
		if event.Entry.Source == log.EntrySourceSecurity || strings.Contains(event.Entry.Text, "Content Security Policy") {
			problem = event.Entry.Text
		}
	}
	if problem == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

func (p *Page) found() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// quote writes text as a JavaScript string. It writes JSON, because every JSON string is a valid JavaScript string.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic("browsertest: " + err.Error()) // never happens: every string has a JSON form
	}
	return string(quoted)
}

func describe(details *runtime.ExceptionDetails) string {
	if details.Exception != nil && details.Exception.Description != "" {
		return details.Exception.Description
	}
	return details.Text
}
