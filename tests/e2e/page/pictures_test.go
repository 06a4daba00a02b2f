// SPDX-License-Identifier: Apache-2.0

package page

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var renew = flag.Bool("screenshots", false, "renew the pictures of the README, in docs/images")

// maxPicture bounds a picture of the README, in bytes.
const maxPicture = 200_000

// TestThePicturesOfTheReadme takes them; with the flag -screenshots they become those of the README.
func TestThePicturesOfTheReadme(t *testing.T) {
	laptop := env.Laptop(0)
	t.Cleanup(func() { laptop.Disconnect(t) })
	visit(t, laptop, "pictures.mjs", nil)
	if !*renew {
		return
	}
	to := filepath.Join(env.Cluster.Config().Root, "docs", "images")
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clusters", "workloads", "intercept", "requests"} {
		for _, scheme := range []string{"light", "dark"} {
			file := name + "-" + scheme + ".png"
			target := filepath.Join(to, file)
			if out, err := exec.Command("pngquant", "--force", "--quality=80-98", "--strip", "--output", target, filepath.Join(pictures(t), file)).CombinedOutput(); err != nil {
				t.Fatalf("make %s small: %v\n%s", file, err, out)
			}
			if out, err := exec.Command("optipng", "-quiet", "-o2", target).CombinedOutput(); err != nil {
				t.Fatalf("make %s small: %v\n%s", file, err, out)
			}
			info, err := os.Stat(target)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d bytes", file, info.Size())
			if info.Size() > maxPicture {
				t.Errorf("%s has %d bytes, want at most %d", file, info.Size(), maxPicture)
			}
		}
	}
}
