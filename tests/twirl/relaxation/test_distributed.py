"""RECM on two processes (gloo): the same as one process on the whole batch, and as itself when stopped and resumed."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from tests.twirl.relaxation.toy import batch, network, places
from twirl.relaxation import RECM, Targets, relax
from twirl.representations import Vectors

STEPS, STOP = 8, 4
STORED = ("z0", "z1")


def make(**options):
    torch.manual_seed(0)
    net = relax(network(), RECM(0.5, Targets(Vectors(), (1, 3)), **options), places())
    return net, torch.optim.Adam(net.parameter_groups(1e-2))


def run(net, optimizer, share, steps, wrap=lambda net: net):
    """Train on this process's share of every batch."""
    model = wrap(net)
    for step in steps:
        x, y = (t[share] for t in batch(step))
        net.observe(y)
        loss = (model(x) - y).square().mean() + net.extra_loss()
        optimizer.zero_grad()
        loss.backward()
        net.after_backward()
        optimizer.step()
        net.after_step()


def snapshot(net):
    state = {k: v.clone() for k, v in net.state_dict().items() if isinstance(v, torch.Tensor)}
    return state | {f"z{s}": z for s, z in enumerate(net.method._stored)}


OPTIONS = {"all": {}, "noise": {"terms": ("W", "b", "noise"), "max_samples": 2}}


def worker(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for name, options in OPTIONS.items():
        share = slice(3 * rank, 3 * rank + 3)
        net, optimizer = make(**options)
        run(net, optimizer, share, range(STEPS), DistributedDataParallel)
        torch.save(snapshot(net), folder / f"{name}{rank}.pt")

        net, optimizer = make(**options)
        run(net, optimizer, share, range(STOP), DistributedDataParallel)
        local = net.gather_local_state()
        if rank == 0:
            saved = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "local": local}
            torch.save(saved, folder / f"{name}.pt")
        dist.barrier()
        saved = torch.load(folder / f"{name}.pt", weights_only=True)
        net, optimizer = make(**options)
        net.load_state_dict(saved["net"])
        net.load_local_state(saved["local"])
        optimizer.load_state_dict(saved["optimizer"])
        run(net, optimizer, share, range(STOP, STEPS), DistributedDataParallel)
        torch.save(snapshot(net), folder / f"{name}{rank}-resumed.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both ranks ended with: (options, rank, resumed) -> tensors."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(worker, (port, folder), nprocs=2)
    ends = {False: "", True: "-resumed"}
    return {
        (name, rank, resumed): torch.load(folder / f"{name}{rank}{end}.pt")
        for name in OPTIONS
        for rank in (0, 1)
        for resumed, end in ends.items()
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_the_state_is_the_same_on_every_rank_and_what_is_stored_is_not(ranks, name):
    one, two = ranks[name, 0, False], ranks[name, 1, False]
    for key, value in one.items():
        assert torch.equal(value, two[key]) != (key in STORED), key


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_resumed_run_goes_on_to_the_bit_on_every_rank(ranks, name, rank):
    for key, value in ranks[name, rank, False].items():
        assert torch.equal(value, ranks[name, rank, True][key]), key


def test_two_processes_train_as_one_on_the_whole_batch(ranks):
    net, optimizer = make()
    run(net, optimizer, slice(None), range(STEPS))
    for key, value in snapshot(net).items():
        if key not in STORED:
            assert torch.allclose(value, ranks["all", 0, False][key], rtol=1e-9, atol=1e-11), key


def test_a_checkpoint_of_other_ranks_is_refused():
    net, _ = make()
    with pytest.raises(ValueError, match="written by 2 ranks; it cannot resume on 1"):
        net.load_local_state([{"stored": None}, {"stored": None}])
