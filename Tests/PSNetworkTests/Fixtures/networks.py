#!/usr/bin/env python3
"""Golden values of every network but Inception-v3 (golden.py has that), computed by PyTorch in float64.

The networks are other people's where there is an implementation to install: torchvision's googlenet, alexnet, vgg16 and
vgg16_bn, timm's inception_v4, inception_resnet_v2 and legacy_xception, the blocks of facenet-pytorch's
InceptionResnetV1. Of the others (GoogLeNet as published and with batch norm, BN-Inception, Inception-v2) this file
writes a twin from the papers, over torchvision's classes.

Inputs are golden.py's formulas, by the role of a tensor:
  convolution weights     v * sqrt(6 / (inputs of a group * kh * kw))     dense weights  v * sqrt(3 / inputs)
  batch norm's weight     1 + 0.25 v          its bias   BIAS + 0.25 v    any other bias 0.1 v
  running_mean            0.1 v               running_var 1 + 0.25 v      (for evaluation)
One training step: batch statistics, no dropout, label smoothing 0.1, loss = CE(main) + w * the sum of CE(auxiliary);
then the logits of evaluation mode. BIAS is 4 where there is batch norm, which opens almost every ReLU, so that gradients
do not jump and can be judged tightly.

Needs: pip install torch torchvision timm, and facenet-pytorch without its dependencies (it asks for an old torch) but
requests and tqdm.
Usage: networks.py [NAME...]; writes networks/NAME.json beside itself, and networks/totals.json for all.
"""
import json, os, sys
import numpy as np, torch, torchvision
import torch.nn as nn, torch.nn.functional as F
import golden
from golden import values

# The modules; the names of the package are functions.
tv_googlenet, tv_inception = (sys.modules["torchvision.models." + name] for name in ("googlenet", "inception"))

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 1
# With seed 1 a ReLU of aux2's dense layer stands so near 0 that correct engines differ in it.
SEEDS = {"bn-googlenet": 2}
PROJECTIONS = 4


# --- twins ---------------------------------------------------------------------------------------------------------

class ConvReLU(nn.Conv2d):
    """A convolution with a bias and a ReLU, in the place of torchvision's BasicConv2d."""
    def __init__(self, inputs, outputs, **kwargs): super().__init__(inputs, outputs, bias=True, **kwargs)
    def forward(self, x): return F.relu(super().forward(x))


def five_by_five(block):
    """torchvision's Inception with the paper's 5x5 in its third branch."""
    class Inception(tv_googlenet.Inception):
        def __init__(self, inputs, one, reduce3, three, reduce5, five, pool, conv_block=None):
            super().__init__(inputs, one, reduce3, three, reduce5, five, pool, conv_block=block)
            self.branch3[1] = block(reduce5, five, kernel_size=5, padding=2)
    return Inception


def paper_head(block):
    class Head(tv_googlenet.InceptionAux):
        def __init__(self, inputs, classes, conv_block=None, dropout=0.7):
            super().__init__(inputs, classes, conv_block=block, dropout=dropout)
        def forward(self, x):
            x = torch.flatten(self.conv(F.avg_pool2d(x, 5, 3, ceil_mode=True)), 1)
            return self.fc2(self.dropout(F.relu(self.fc1(x))))
    return Head


class GoogLeNetPaper(torchvision.models.GoogLeNet):
    def __init__(self, block, responses):
        super().__init__(blocks=[block, five_by_five(block), paper_head(block)], init_weights=False, dropout=0,
                         dropout_aux=0)
        self.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        if responses:
            norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
            self.maxpool1 = nn.Sequential(self.maxpool1, norm)
            self.maxpool2 = nn.Sequential(norm, self.maxpool2)


class BNInception(nn.Module):
    """Figure 5 of arXiv 1502.03167."""
    def __init__(self):
        super().__init__()
        conv = tv_googlenet.BasicConv2d
        self.conv1, self.conv2 = conv(3, 64, kernel_size=7, stride=2, padding=3), conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        rows = [("3a", 192, 64, 64, 64, 64, 96, "avg", 32), ("3b", 256, 64, 64, 96, 64, 96, "avg", 64),
                ("3c", 320, 0, 128, 160, 64, 96, "max", 0), ("4a", 576, 224, 64, 96, 96, 128, "avg", 128),
                ("4b", 576, 192, 96, 128, 96, 128, "avg", 128), ("4c", 576, 160, 128, 160, 128, 160, "avg", 96),
                ("4d", 576, 96, 128, 192, 160, 192, "avg", 96), ("4e", 576, 0, 128, 192, 192, 256, "max", 0),
                ("5a", 1024, 352, 192, 320, 160, 224, "avg", 128), ("5b", 1024, 352, 192, 320, 192, 224, "max", 128)]
        self.blocks = []
        for name, *row in rows:
            setattr(self, "inception" + name, self.block(conv, *row))
            self.blocks.append("inception" + name)
        self.fc = nn.Linear(1024, 1000)

    @staticmethod
    def block(conv, inputs, one, reduce3, three, reduced, double, pool, projection):
        stride = 1 if one else 2
        block = nn.ModuleDict()
        if one: block["branch1"] = conv(inputs, one, kernel_size=1)
        block["branch2"] = nn.Sequential(conv(inputs, reduce3, kernel_size=1),
                                         conv(reduce3, three, kernel_size=3, stride=stride, padding=1))
        block["branch3"] = nn.Sequential(conv(inputs, reduced, kernel_size=1),
                                         conv(reduced, double, kernel_size=3, padding=1),
                                         conv(double, double, kernel_size=3, stride=stride, padding=1))
        pooling = (nn.AvgPool2d if pool == "avg" else nn.MaxPool2d)(3, stride=stride, padding=1)
        block["branch4"] = nn.Sequential(pooling, *([conv(inputs, projection, kernel_size=1)] if projection else []))
        return block

    def forward(self, x):
        x = self.pool(self.conv3(self.conv2(self.pool(self.conv1(x)))))
        for name in self.blocks: x = torch.cat([branch(x) for branch in getattr(self, name).values()], 1)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class InceptionV2(nn.Module):
    """Table 1 of arXiv 1512.00567 with Figures 5, 6, 7 and 10; widths inside the blocks as Inception-v3 has them."""
    def __init__(self):
        super().__init__()
        conv = tv_inception.BasicConv2d
        def seven(inputs, middle, outputs):
            return (conv(inputs, middle, kernel_size=(1, 7), padding=(0, 3)),
                    conv(middle, outputs, kernel_size=(7, 1), padding=(3, 0)))
        def five(inputs, stride):
            block = nn.ModuleDict()
            block["branch3x3_1"] = conv(inputs, 48 if stride == 1 else 64, kernel_size=1)
            block["branch3x3_2"] = conv(48, 64, kernel_size=3, padding=1) if stride == 1 else \
                conv(64, 384, kernel_size=3, stride=2)
            block["branch5x5_1"] = conv(inputs, 64, kernel_size=1)
            block["branch5x5_2"] = conv(64, 96, kernel_size=3, padding=1)
            block["branch5x5_3"] = conv(96, 96, kernel_size=3, stride=stride, padding=1 if stride == 1 else 0)
            if stride == 1:
                block["branch1x1"] = conv(inputs, 64, kernel_size=1)
                block["branch_pool"] = conv(inputs, 64, kernel_size=1)
            return block
        def six(c):
            block = nn.ModuleDict()
            block["branch1x1"], block["branch7x7_1"] = conv(768, 192, kernel_size=1), conv(768, c, kernel_size=1)
            block["branch7x7_2a"], block["branch7x7_2b"] = seven(c, c, 192)
            block["branch7x7dbl_1"] = conv(768, c, kernel_size=1)
            block["branch7x7dbl_2a"], block["branch7x7dbl_2b"] = seven(c, c, c)
            block["branch7x7dbl_3a"], block["branch7x7dbl_3b"] = seven(c, c, 192)
            block["branch_pool"] = conv(768, 192, kernel_size=1)
            return block
        last = nn.ModuleDict()
        last["branch3x3_1"], last["branch3x3_2"] = conv(768, 192, kernel_size=1), conv(192, 320, kernel_size=3, stride=2)
        last["branch7x7x3_1"] = conv(768, 192, kernel_size=1)
        last["branch7x7x3_2a"], last["branch7x7x3_2b"] = seven(192, 192, 192)
        last["branch7x7x3_3"] = conv(192, 192, kernel_size=3, stride=2)
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = conv(3, 32, kernel_size=3, stride=2), conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3, self.Conv2d_3b_3x3 = conv(32, 64, kernel_size=3, padding=1), conv(64, 80, kernel_size=3)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3, stride=2)
        self.Conv2d_4b_3x3 = conv(192, 288, kernel_size=3, padding=1)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = five(288, 1), five(288, 1), five(288, 2)
        self.Mixed_6a, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = six(128), six(160), six(160), six(192), last
        self.AuxLogits = tv_inception.InceptionAux(768, 1000)
        self.Mixed_7a, self.Mixed_7b = tv_inception.InceptionE(1280), tv_inception.InceptionE(2048)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4b_3x3(self.Conv2d_4a_3x3(self.Conv2d_3b_3x3(F.max_pool2d(x, 3, 2))))
        def chain(block, x, *names):
            for name in names: x = block[name](x)
            return x
        for block in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d):
            three = chain(block, x, "branch3x3_1", "branch3x3_2")
            double = chain(block, x, "branch5x5_1", "branch5x5_2", "branch5x5_3")
            if "branch1x1" in block:
                pooled = block["branch_pool"](F.avg_pool2d(x, 3, 1, 1))
                x = torch.cat([block["branch1x1"](x), three, double, pooled], 1)
            else:
                x = torch.cat([three, double, F.max_pool2d(x, 3, 2)], 1)
        for block in (self.Mixed_6a, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d):
            single = chain(block, x, "branch7x7_1", "branch7x7_2a", "branch7x7_2b")
            double = chain(block, x, "branch7x7dbl_1", "branch7x7dbl_2a", "branch7x7dbl_2b", "branch7x7dbl_3a", "branch7x7dbl_3b")
            x = torch.cat([block["branch1x1"](x), single, double, block["branch_pool"](F.avg_pool2d(x, 3, 1, 1))], 1)
        aux = self.AuxLogits(x) if self.training else None
        block = self.Mixed_6e
        x = torch.cat([chain(block, x, "branch3x3_1", "branch3x3_2"),
                       chain(block, x, "branch7x7x3_1", "branch7x7x3_2a", "branch7x7x3_2b", "branch7x7x3_3"),
                       F.max_pool2d(x, 3, 2)], 1)
        x = self.fc(torch.flatten(F.adaptive_avg_pool2d(self.Mixed_7b(self.Mixed_7a(x)), 1), 1))
        return (x, aux) if self.training else x


def inception_resnet_v1():
    """facenet-pytorch's blocks in the order of the paper's figure 15, with the paper's head."""
    from facenet_pytorch.models import inception_resnet_v1 as facenet
    class InceptionResNetV1(facenet.InceptionResnetV1):
        def __init__(self):
            super().__init__(classify=True, num_classes=1000, dropout_prob=0.0)
            del self.block8, self.last_linear, self.last_bn
            self.logits = nn.Linear(1792, 1000)
        def forward(self, x):
            for name in ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "conv2d_4b",
                         "repeat_1", "mixed_6a", "repeat_2", "mixed_7a", "repeat_3"):
                x = getattr(self, name)(x)
            return self.logits(torch.flatten(self.avgpool_1a(x), 1))
    return InceptionResNetV1()


def timm_model(name):
    import timm
    return timm.create_model(name)


# name: (the model, image size, batch, BIAS, weight of auxiliary losses)
NETWORKS = {
    "alexnet": (lambda: torchvision.models.alexnet(dropout=0), 224, 2, 0, 0),
    "vgg16": (lambda: torchvision.models.vgg16(init_weights=False, dropout=0), 224, 2, 0, 0),
    "vgg16-bn": (lambda: torchvision.models.vgg16_bn(init_weights=False, dropout=0), 224, 2, 4, 0),
    "inception-v1": (lambda: GoogLeNetPaper(ConvReLU, True), 224, 2, 0, 0.3),
    "googlenet": (lambda: torchvision.models.googlenet(init_weights=False, dropout=0, dropout_aux=0), 224, 2, 4, 0.3),
    "bn-googlenet": (lambda: GoogLeNetPaper(tv_googlenet.BasicConv2d, False), 224, 2, 4, 0.3),
    "bn-inception": (BNInception, 224, 2, 4, 0),
    "inception-v2": (InceptionV2, 299, 4, 4, 0.4),
    "inception-v4": (lambda: timm_model("inception_v4"), 299, 2, 4, 0),
    "inception-resnet-v1": (inception_resnet_v1, 299, 2, 4, 0),
    "inception-resnet-v2": (lambda: timm_model("inception_resnet_v2"), 299, 2, 4, 0),
    "xception": (lambda: timm_model("legacy_xception"), 299, 2, 4, 0),
}


# --- values --------------------------------------------------------------------------------------------------------

def fill(model, bias):
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if not tensor.dtype.is_floating_point: continue
            v, shape, kind = values(name, SEED, tensor.numel()), tensor.shape, name.rsplit(".", 1)[1]
            of_norm = name.rsplit(".", 1)[0] in norms
            if len(shape) == 4: a = np.float32(np.sqrt(6.0 / np.prod(shape[1:]))) * v
            elif len(shape) == 2: a = np.float32(np.sqrt(3.0 / shape[1])) * v
            elif of_norm and kind == "weight": a = np.float32(1) + np.float32(0.25) * v
            elif of_norm and kind == "bias": a = np.float32(bias) + np.float32(0.25) * v
            elif kind == "running_mean": a = np.float32(0.1) * v
            elif kind == "running_var": a = np.float32(1) + np.float32(0.25) * v
            else: a = np.float32(0.1) * v
            tensor.copy_(torch.from_numpy(a.reshape(shape)))


def heads(output):
    """The main logits, then the auxiliary ones in the order of their names."""
    if isinstance(output, torch.Tensor): return [output]
    if hasattr(output, "aux_logits2"): return [output.logits, output.aux_logits1, output.aux_logits2]
    return list(output)


def run(make, size, batch, bias, weight, dtype):
    torch.manual_seed(0)
    model = make()
    fill(model, bias)
    model = model.to(dtype)
    x = torch.from_numpy(values("images", SEED, batch * 3 * size * size).reshape(batch, 3, size, size)).to(dtype)
    y = torch.tensor([(7 * i + 3) % 1000 for i in range(batch)])
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    model.eval()
    with torch.no_grad(): evaluation = heads(model(x))[0].double().numpy()
    model.train()
    logits = heads(model(x))
    loss = loss_of(logits[0], y) + sum(weight * loss_of(other, y) for other in logits[1:])
    loss.backward()
    return {"loss": float(loss), "evaluation": evaluation, "heads": [h.detach().double().numpy() for h in logits],
            "gradients": {k: p.grad.double().numpy() for k, p in model.named_parameters()}}


def digest(name, truth, float32):
    f = truth.ravel()
    signs = [values(f"proj{j}:{name}", SEED, f.size) >= 0 for j in range(PROJECTIONS)]
    numbers = [np.linalg.norm(f)] + [np.where(s, f, -f).sum() for s in signs]
    return {"l2": float("%.12g" % numbers[0]), "projections": [float("%.12g" % n) for n in numbers[1:]],
            "fp32": float("%.3g" % golden.rel(float32, truth))}


def totals(make, size):
    model = make().eval()
    macs = 0
    def count(module, inputs, output):
        nonlocal macs
        per = module.weight[0].numel()
        macs += output.numel() * per
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)): module.register_forward_hook(count)
    with torch.no_grad(): model(torch.zeros(1, 3, size, size))
    auxiliary = sum(p.numel() for k, p in model.named_parameters() if k.lower().startswith("aux"))
    parameters = sum(p.numel() for p in model.parameters())
    entries = [[k, list(t.shape)] for k, t in model.state_dict().items() if not k.endswith("num_batches_tracked")]
    return {"parameters": parameters, "parametersWithoutAux": parameters - auxiliary, "macs": macs, "tensors": entries}


if __name__ == "__main__":
    path = os.path.join(HERE, "networks", "totals.json")
    known = json.load(open(path)) if os.path.exists(path) else {}
    for name in sys.argv[1:] or NETWORKS:
        make, size, batch, bias, weight = NETWORKS[name]
        SEED = SEEDS.get(name, 1)
        known[name] = totals(make, size)
        high, low = (run(make, size, batch, bias, weight, t) for t in (torch.float64, torch.float32))
        names = ["logits"] + [f"aux{i}" for i in range(1, len(high["heads"]))]
        golden_values = {
            "seed": SEED, "batch": batch, "size": size, "bias": bias, "loss": high["loss"],
            "heads": [digest(n, h, l) for n, h, l in zip(names, high["heads"], low["heads"])],
            "evaluation": digest("evaluation", high["evaluation"], low["evaluation"]),
            "norm": float(np.sqrt(sum((g ** 2).sum() for g in high["gradients"].values()))),
            "gradients": {k: digest("grad:" + k, g, low["gradients"][k]) for k, g in high["gradients"].items()}}
        text = json.dumps(golden_values, separators=(",", ":")).replace('},"', '},\n"')
        open(os.path.join(HERE, "networks", name + ".json"), "w").write(text + "\n")
        errors = sorted(d["fp32"] for d in golden_values["gradients"].values())
        print("%-20s %11d parameters %14d MACs, loss %.6f, float32: logits %.1e, evaluation %.1e, gradients %.1e (median) %.1e"
              % (name, known[name]["parameters"], known[name]["macs"], high["loss"], golden_values["heads"][0]["fp32"],
                 golden_values["evaluation"]["fp32"], errors[len(errors) // 2], errors[-1]), flush=True)
        json.dump(known, open(path, "w"), separators=(",", ":"))
