package web

import (
	"testing"

	"dotsconnect/server/internal/browsertest"
)

// buttons measures every visible button, and a selected text. For each it returns the contrast of its text or icon with the
// background, as WCAG 2 defines it.
const buttons = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const pixel = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const ground = (element) => {
		const colour = pixel(getComputedStyle(element).backgroundColor);
		return colour[3] === 255 ? colour : ground(element.parentElement);
	};
	const luminance = (colour) => {
		const [r, g, b] = colour.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const contrast = (...colours) => {
		const [dark, light] = colours.map(luminance).sort((a, b) => a - b);
		return (light + 0.05) / (dark + 0.05);
	};
	const selection = getComputedStyle(document.querySelector("#room"), "::selection");
	const found = [{ Name: "selection", Disabled: false, Contrast: contrast(pixel(selection.color), pixel(selection.backgroundColor)) }];
	for (const button of document.querySelectorAll("button, a.button")) {
		if (!button.checkVisibility()) continue;
		found.push({ Name: button.id, Disabled: button.disabled === true, Contrast: contrast(pixel(getComputedStyle(button).color), ground(button)) });
	}
	return found;
})()`

// TestButtonsLookAsTheyAre: in the light and in the dark theme, an enabled button must have a clear text, and a disabled button
// must have a faint text.
func TestButtonsLookAsTheyAre(t *testing.T) {
	server := startRoomServer(t)
	browser := browsertest.Start(t)
	page := browser.Open(t, server.URL+"/#room=lobby&name=Ada")
	page.WaitAttribute("#state", "data-state", "open")

	look := func(state, scheme string, disabled, enabled []string) {
		t.Helper()
		page.Emulate(1280, 800, scheme)
		found := map[string]bool{} // by name: whether the button is disabled
		for _, button := range browsertest.Eval[[]struct {
			Name     string
			Disabled bool
			Contrast float64
		}](page, buttons) {
			found[button.Name] = button.Disabled
			switch {
			case button.Name == "title": // a heading is a button if it has more to show
			case button.Disabled && (button.Contrast < 2 || button.Contrast > 3.5):
				t.Errorf("%s, %s: disabled %s has a contrast of %.1f, want 2 to 3.5", state, scheme, button.Name, button.Contrast)
			case !button.Disabled && button.Contrast < 4.5:
				t.Errorf("%s, %s: %s has a contrast of %.1f, want at least 4.5", state, scheme, button.Name, button.Contrast)
			}
		}
		for _, name := range disabled {
			if got, ok := found[name]; !ok || !got {
				t.Errorf("%s: #%s is enabled or cannot be seen, want it disabled", state, name)
			}
		}
		for _, name := range enabled {
			if got, ok := found[name]; !ok || got {
				t.Errorf("%s: #%s is disabled or cannot be seen, want it enabled", state, name)
			}
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		look("joined", scheme, []string{"join"}, []string{"leave", "copy", "send", "second", "theme", "selection"})
	}
	page.Fill("#room", "another")
	for _, scheme := range []string{"light", "dark"} {
		look("another room", scheme, nil, []string{"join", "leave"})
	}
	page.Fill("#room", "lobby")
	server.close("lobby", 4503, "kicked: enough")
	page.WaitAttribute("#state", "data-state", "closed")
	for _, scheme := range []string{"light", "dark"} {
		look("closed", scheme, []string{"join", "send"}, []string{"leave", "now"})
	}
}
