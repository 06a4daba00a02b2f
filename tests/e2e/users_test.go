// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// kubeconfig returns the kubeconfig of an ordinary developer: no rights but what everyone has, and to edit the shop.
func kubeconfig(t *testing.T, user string) string {
	t.Helper()
	path, err := env.Cluster.UserKubeconfig(user, "developers")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTwoUsersAtOnce(t *testing.T) {
	alice, bob := env.Laptop(0), env.Laptop(1)
	alice.Connect(t, "--kubeconfig", kubeconfig(t, "alice"))
	bob.Connect(t, "--kubeconfig", kubeconfig(t, "bob"))
	for _, laptop := range []*harness.Laptop{alice, bob} {
		laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	}
	a, b := alice.Status(t), bob.Status(t)
	if a.User != "alice" || b.User != "bob" {
		t.Errorf("connected as %q and %q", a.User, b.User)
	}

	t.Run("neither reaches the other", func(t *testing.T) {
		// A program that listens on every address of bob's laptop.
		listener := bob.Command(t.Context(), harness.User, "socat", "TCP-LISTEN:9999,fork,reuseaddr", "SYSTEM:echo exposed")
		if err := listener.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { listener.Process.Kill(); listener.Wait() }()
		for _, address := range b.Addresses {
			target := address.String()
			if r := alice.Try(t, "ping", "-c", "1", "-W", "1", target); r.Status == 0 {
				t.Errorf("alice pings bob's laptop: %s", r)
			}
			host := target
			if address.Is6() {
				host = "[" + target + "]"
			}
			if r := alice.Try(t, "curl", "-sS", "-m", "2", "--http0.9", "http://"+host+":9999/"); r.Status == 0 || strings.Contains(r.Stdout, "exposed") {
				t.Errorf("alice reaches a program on bob's laptop: %s", r)
			}
		}
	})

	t.Run("bob can't touch what is alice's", func(t *testing.T) {
		namespace, name, _ := strings.Cut(a.Connection, "/")
		kubectl := func(args ...string) harness.Result {
			return bob.Try(t, append([]string{"kubectl", "--kubeconfig", kubeconfig(t, "bob"), "-n", namespace}, args...)...)
		}
		for _, args := range [][]string{
			{"delete", "connection", name},
			{"patch", "connection", name, "--type", "merge", "-p", `{"spec":{"publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`},
			{"patch", "connection", name, "--type", "merge", "-p", `{"spec":{"user":"bob"}}`},
		} {
			if r := kubectl(args...); r.Status == 0 {
				t.Errorf("bob may: %s", r)
			}
		}
		forged := `{"apiVersion":"fairlead.dev/v1alpha1","kind":"Connection","metadata":{"name":"forged","namespace":"` + namespace + `"},
"spec":{"user":"alice","publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","namespace":"shop"}}`
		r := bob.Try(t, "sh", "-c", "echo '"+forged+"' | kubectl --kubeconfig "+kubeconfig(t, "bob")+" create -f -")
		if r.Status == 0 {
			t.Errorf("bob may create a Connection in alice's name: %s", r)
		}
	})

	alice.Disconnect(t)
	if status := bob.Status(t); status.State != session.Connected {
		t.Errorf("alice's disconnect ended bob's session: %+v", status)
	}
	bob.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

func TestOtherUserOfTheSameLaptop(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	// root is always served, but not while the tunnel is somebody's.
	r := laptop.TryAs(t, "root", "fairlead", "connect", "--namespace", "shop")
	defer laptop.TryAs(t, "root", "fairlead", "quit")
	refused(t, r, 12, "dev")
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// TestTwoDaemonsOfOneUser has a shell without the session's XDG_RUNTIME_DIR start a second daemon. It takes the tunnel over; the
// first one says so, and does not take it back.
func TestTwoDaemonsOfOneUser(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	folder := strings.TrimSpace(laptop.Run(t, "mktemp", "-d"))
	second := func(args ...string) harness.Result {
		return laptop.Try(t, append([]string{"env", "XDG_RUNTIME_DIR=" + folder, "fairlead"}, args...)...)
	}
	t.Cleanup(func() {
		second("quit")
		laptop.Run(t, "rm", "-r", folder)
	})
	if r := second("connect", "--namespace", "shop"); r.Status != 0 {
		t.Fatalf("%s", r)
	}
	laptop.AwaitStatus(t, 10*time.Second, "the first daemon says what happened", func(s session.Status) bool {
		return s.State == session.Disconnected && s.Problem != nil && strings.Contains(s.Problem.Message, "taken over")
	})
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	harness.Always(t, 6*time.Second, "the second daemon stays connected", func() error {
		if r := second("status"); r.Status != 0 || !strings.HasPrefix(r.Stdout, "Connected to ") {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	if r := second("disconnect"); r.Status != 0 {
		t.Errorf("%s", r)
	}
	laptop.Connect(t)
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// withoutAccess takes away what the chart gives everyone, until the returned function is called.
func withoutAccess(t *testing.T) func() {
	t.Helper()
	bindings := env.Cluster.Kubernetes().RbacV1().RoleBindings("fairlead")
	binding, err := bindings.Get(t.Context(), "fairlead-connect", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read the role binding fairlead-connect: %v", err)
	}
	if err := bindings.Delete(t.Context(), binding.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("delete the role binding fairlead-connect: %v", err)
	}
	anyoneMayConnect(t, false)
	return func() {
		binding.ResourceVersion, binding.UID = "", ""
		if _, err := bindings.Create(context.Background(), binding, metav1.CreateOptions{}); err != nil {
			t.Errorf("put the role binding fairlead-connect back: %v", err)
		}
		anyoneMayConnect(t, true)
	}
}

// anyoneMayConnect waits until the API server, which hears of role bindings a moment later, lets or does not let everyone connect.
func anyoneMayConnect(t *testing.T, wanted bool) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "anyone", Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "fairlead", Verb: "create", Group: "fairlead.dev", Resource: "connections"},
	}}
	harness.Eventually(t, 5*time.Second, fmt.Sprintf("anyone may connect: %v", wanted), func() error {
		told, err := env.Cluster.Kubernetes().AuthorizationV1().SubjectAccessReviews().Create(context.Background(), review, metav1.CreateOptions{})
		if err == nil && told.Status.Allowed != wanted {
			err = fmt.Errorf("allowed: %v %s", told.Status.Allowed, told.Status.Reason)
		}
		return err
	})
}

// buildVersion builds the command line as another version and returns its path, which the laptop can see.
func buildVersion(t *testing.T, version string) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, ".cluster", "bin", "fairlead-"+version)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./app/cli")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build version %s: %v\n%s", version, err, out)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}
