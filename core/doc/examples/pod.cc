// SPDX-License-Identifier: Apache-2.0
// pod.cc: the same from C++: what the library returns is owned by smart pointers, its errors are exceptions.
//
//   c++ -std=c++17 pod.cc -o pod $(pkg-config --cflags --libs libvccore)
//   ./pod /srv/busybox sh -c 'echo hello; exit 7'
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vccore/vccore.h>

namespace {

using Status = struct vc_pod_status; // a function has that name, too

struct Free {
    void operator()(vc_context *c) const { vc_context_free(c); }
    void operator()(Status *s) const { vc_pod_status_free(s); }
};
template <class T> using Owned = std::unique_ptr<T, Free>;

// By reference: of two arguments either may be evaluated first.
void check(int rc, vc_error *&err)
{
    if (rc == 0)
        return;
    std::string text = vc_error_text(err);
    vc_error_free(err);
    throw std::runtime_error(text);
}

// A pod that is removed when its scope ends, however it ends.
class Pod {
  public:
    Pod(vc_context *ctx, const vc_pod_config &config) : ctx_(ctx)
    {
        char *id = nullptr;
        vc_error *err = nullptr;
        check(vc_pod_run(ctx, &config, &id, &err), err);
        id_ = id;
        std::free(id);
    }
    ~Pod() { vc_pod_delete(ctx_, id_.c_str(), VC_FORCE, nullptr); }
    Pod(const Pod &) = delete;
    Pod &operator=(const Pod &) = delete;

    Owned<Status> status() const
    {
        Status *s = nullptr;
        vc_error *err = nullptr;
        check(vc_pod_status(ctx_, id_.c_str(), &s, &err), err);
        return Owned<Status>(s);
    }
    int wait(const char *container) const
    {
        int32_t code = 0;
        vc_error *err = nullptr;
        check(vc_container_wait(ctx_, id_.c_str(), container, nullptr, -1, &code, &err), err);
        return code;
    }

  private:
    vc_context *ctx_;
    std::string id_;
};

} // namespace

int main(int argc, char **argv)
try {
    if (argc < 3) {
        std::cerr << "usage: pod ROOTFS COMMAND [ARG...]\n";
        return 2;
    }
    vc_context *context = nullptr;
    vc_error *err = nullptr;
    check(vc_context_new(nullptr, &context, &err), err);
    Owned<vc_context> ctx(context);

    vc_process_config cmd;
    vc_container_config container, *containers[] = {&container};
    vc_pod_config config;
    VC_INIT(&cmd);
    VC_INIT(&container);
    VC_INIT(&config);
    cmd.args = argv + 2;
    cmd.use_stdio = 1;
    cmd.stdio[0] = -1;
    cmd.stdio[1] = 1;
    cmd.stdio[2] = 2;
    container.id = "1";
    container.rootfs = argv[1];
    container.process = &cmd;
    config.containers = containers;
    config.n_containers = 1;

    Pod pod(ctx.get(), config);
    auto status = pod.status();
    int code = pod.wait("1");
    std::cout << "pod " << status->hypervisor << " was " << status->state << ", its container ended with " << code << "\n";
    return 0;
} catch (const std::exception &e) {
    std::cerr << "pod: " << e.what() << "\n";
    return 1;
}
