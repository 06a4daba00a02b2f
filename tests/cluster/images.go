// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"
)

// Image references. Pods use them with imagePullPolicy IfNotPresent; there is no registry.
const (
	pauseImage   = "fairlead.test/pause:1"
	coreDNSImage = "fairlead.test/coredns:" + coreDNSVersion
	// ShopImage has the sample shop.
	ShopImage = "fairlead.test/shop:dev"
	// AgentRepository is where the chart looks for fairlead-agent, SidecarRepository for fairlead-sidecar.
	AgentRepository   = "ghcr.io/fairlead-dev/fairlead-agent"
	SidecarRepository = "ghcr.io/fairlead-dev/fairlead-sidecar"
)

// Image is a container image with one static program at /NAME, its entrypoint, run as user 65532.
type Image struct {
	// Ref is the image's name with its tag.
	Ref string
	// Name is the program's name in the image.
	Name string
	// Binary is the program's file on the machine.
	Binary string
	// Links are further names of the program in the image, Variables what it sets besides PATH.
	Links, Variables []string
}

// LoadImage puts an image on every node.
func (c *Cluster) LoadImage(ctx context.Context, image Image) error {
	archive := filepath.Join(c.folder, "images", fileName(image.Ref)+".tar")
	if err := image.write(archive); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodes {
		group.Go(func() error { return node.importImage(ctx, image.Ref, archive) })
	}
	return group.Wait()
}

// LoadAgent puts bin/fairlead-agent and bin/fairlead-sidecar on every node, under the chart's repositories with each of the
// tags. Without tags it is the program's own version, which is what an installation by the same build asks for.
func (c *Cluster) LoadAgent(ctx context.Context, tags ...string) error {
	if len(tags) == 0 {
		version, err := agentVersion(ctx, c.config.Root)
		if err != nil {
			return err
		}
		tags = []string{version}
	}
	for _, tag := range tags {
		for _, image := range agentImages(c.config.Root, tag) {
			if err := c.LoadImage(ctx, image); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteAgentImage stores the images of bin/fairlead-agent and bin/fairlead-sidecar of the repository at root, as LoadAgent
// makes them, in one archive for other clusters to load. It returns the reference of the agent's.
func WriteAgentImage(ctx context.Context, root, archive string) (string, error) {
	version, err := agentVersion(ctx, root)
	if err != nil {
		return "", err
	}
	images := agentImages(root, version)
	return images[0].Ref, writeArchive(archive, images...)
}

func agentFile(root string) string { return filepath.Join(root, "bin", "fairlead-agent") }

// agentImages are what runs in a cluster: the gateway's image, and the sidecars'.
func agentImages(root, tag string) []Image {
	return []Image{
		{Ref: AgentRepository + ":" + tag, Name: "fairlead-agent", Binary: agentFile(root)},
		{Ref: SidecarRepository + ":" + tag, Name: "fairlead-sidecar", Binary: filepath.Join(root, "bin", "fairlead-sidecar")},
	}
}

// agentVersion asks the built program.
func agentVersion(ctx context.Context, root string) (string, error) {
	output, err := exec.CommandContext(ctx, agentFile(root), "version").Output()
	if err != nil {
		return "", fmt.Errorf("ask bin/fairlead-agent for its version (make build): %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

func (n *Node) importImage(ctx context.Context, ref, archive string) error {
	output, err := n.Command(ctx, "ctr", "-a", containerdSocket, "-n", "k8s.io", "images", "import", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import image %s on %s: %w: %s", ref, n.Name, err, bytes.TrimSpace(output))
	}
	return nil
}

// write makes the image and stores it as an archive for ctr.
func (i Image) write(archive string) error { return writeArchive(archive, i) }

// writeArchive makes images and stores them as one archive.
func writeArchive(archive string, images ...Image) error {
	made := map[name.Tag]v1.Image{}
	for _, image := range images {
		ref, err := name.NewTag(image.Ref)
		if err != nil {
			return fmt.Errorf("name image: %w", err)
		}
		if made[ref], err = image.make(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return fmt.Errorf("create folder for images: %w", err)
	}
	if err := tarball.MultiWriteToFile(archive, made); err != nil {
		return fmt.Errorf("write images to %s: %w", archive, err)
	}
	return nil
}

func (i Image) make() (v1.Image, error) {
	layer, err := i.layer()
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", i.Ref, err)
	}
	config := v1.Config{Entrypoint: []string{"/" + i.Name}, User: "65532:65532", Env: append([]string{"PATH=/"}, i.Variables...)}
	if image, err = mutate.Config(image, config); err != nil {
		return nil, fmt.Errorf("configure image %s: %w", i.Ref, err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configure image %s: %w", i.Ref, err)
	}
	file.OS, file.Architecture = runtime.GOOS, runtime.GOARCH
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, fmt.Errorf("configure image %s: %w", i.Ref, err)
	}
	return image, nil
}

// layer is the file system: the program, and a /tmp. It is not compressed, because it never leaves the machine.
func (i Image) layer() (v1.Layer, error) {
	program, err := os.ReadFile(i.Binary)
	if err != nil {
		return nil, fmt.Errorf("read program for image %s (is it built?): %w", i.Ref, err)
	}
	var files bytes.Buffer
	writer := tar.NewWriter(&files)
	type entry struct {
		header tar.Header
		data   []byte
	}
	entries := []entry{
		{tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil},
		{tar.Header{Typeflag: tar.TypeReg, Name: i.Name, Mode: 0o755, Size: int64(len(program))}, program},
	}
	for _, link := range i.Links {
		entries = append(entries, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: i.Name, Mode: 0o777}, nil})
	}
	for _, entry := range entries {
		if err := writer.WriteHeader(&entry.header); err != nil {
			return nil, fmt.Errorf("write layer of image %s: %w", i.Ref, err)
		}
		if _, err := writer.Write(entry.data); err != nil {
			return nil, fmt.Errorf("write layer of image %s: %w", i.Ref, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("write layer of image %s: %w", i.Ref, err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil }
	layer, err := tarball.LayerFromOpener(opener, tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return nil, fmt.Errorf("make layer of image %s: %w", i.Ref, err)
	}
	return layer, nil
}
