"""Networks for comparisons: torchvision's inception_v3 with values away from those of a fresh one."""
import torch
import torchvision


def inception(seed, classes=20):
    """All of it follows from the seed, which also stands behind what is drawn next."""
    torch.manual_seed(seed)
    model = torchvision.models.inception_v3(
        weights=None, aux_logits=True, init_weights=True, transform_input=False, num_classes=classes, dropout=0.0)
    with torch.no_grad():
        # Each tensor must matter. Shifts of 1 keep most ReLUs open: where one closes in float32 and not in float64, whole
        # gradients differ.
        for name, value in model.state_dict().items():
            if name.endswith("bn.bias"):
                value.add_(1 + 0.2 * torch.randn_like(value))
            elif name.endswith("running_mean"):
                value.add_(0.1 * torch.randn_like(value))
            elif name.endswith("running_var"):
                value.mul_(0.5 + torch.rand_like(value))
    return model


def calibrated(model, images):
    """With the running statistics of these images, and logits as small as those of a network that has trained."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        model.train()(images)
        model.fc.weight.mul_(0.25)
    return model.eval()


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}
