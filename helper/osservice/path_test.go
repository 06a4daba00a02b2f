// SPDX-License-Identifier: Apache-2.0

package osservice

import "testing"

func TestPathOfWindows(t *testing.T) {
	const folder = `C:\Program Files\Fairlead`
	for name, c := range map[string]struct{ before, with, without string }{
		"empty":            {"", folder, ""},
		"others":           {`%SystemRoot%\system32;C:\Go\bin`, `%SystemRoot%\system32;C:\Go\bin;` + folder, `%SystemRoot%\system32;C:\Go\bin`},
		"ends with a sign": {`C:\Go\bin;`, `C:\Go\bin;` + folder, `C:\Go\bin;`},
		"there":            {`C:\a;` + folder + `;C:\b`, `C:\a;` + folder + `;C:\b`, `C:\a;C:\b`},
		"there, otherwise": {`C:\a;"c:\program files\FAIRLEAD\";C:\b`, `C:\a;"c:\program files\FAIRLEAD\";C:\b`, `C:\a;C:\b`},
		"there twice":      {folder + `;C:\a;` + folder + `\`, folder + `;C:\a;` + folder + `\`, `C:\a`},
		"a longer name":    {folder + `2;C:\a`, folder + `2;C:\a;` + folder, folder + `2;C:\a`},
		"empty entries":    {`C:\a;;C:\b`, `C:\a;;C:\b;` + folder, `C:\a;;C:\b`},
	} {
		if got := withFolder(c.before, folder); got != c.with {
			t.Errorf("%s: with it: %s", name, got)
		}
		if got := withoutFolder(c.before, folder); got != c.without {
			t.Errorf("%s: without it: %s", name, got)
		}
	}
}
